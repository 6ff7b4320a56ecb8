"""How a claim ends: acknowledged, refused, lost, past its deadline, in every order against the others."""
