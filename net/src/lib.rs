//! TCP, names and HTTP/1.1 on the Windlass event loop.

pub mod http;
