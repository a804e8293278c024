"""A Waybill on a Kubernetes cluster that is there to be tried: deployed, put through it, and taken away."""
