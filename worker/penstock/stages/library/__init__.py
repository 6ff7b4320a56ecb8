"""Ready-made stages on the public interface."""
