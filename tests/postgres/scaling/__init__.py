"""What the scaling loops read and write: samples, depth, holders, ends of pods, the local autoscaler."""
