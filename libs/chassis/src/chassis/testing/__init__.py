"""What tests of services share: embedded servers, waiting, and running an application. Needs the extra ``testing``."""
