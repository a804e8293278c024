"""Whether what the services and the outside world say of every order fits together."""
