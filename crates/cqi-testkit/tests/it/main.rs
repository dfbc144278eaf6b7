//! Behaviour of the servers and of the proxy, through the public interface.

mod postgres;
mod proxy;
