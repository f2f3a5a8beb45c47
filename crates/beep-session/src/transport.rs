//! What a session runs over.

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of octets in both directions: a TCP connection, TLS over one, a pipe in memory.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}
