//! From a transport to TLS over it.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::configuration;
use super::error::Error;
use super::info::{Info, server_name};
use super::options::{ClientOptions, ServerOptions};
use super::trust::Trust;
use super::verifier::{NOTES, Notes};
use crate::transport::Transport;

/// Time for a peer to hang up after it was told that the handshake failed.
const LINGER: Duration = Duration::from_secs(1);

/// TLS over another transport.
pub struct Stream {
    tls: TlsStream<Resumed>,
    /// The peer asked for a certificate and got none. It says whether it minds after the handshake (TLS 1.3).
    is_certificate_wanted: bool,
}

/// Begins TLS as the client.
///
/// With TLS 1.3 the server looks at the client's certificate after the client is done: if it does not like it, the
/// error comes from the stream, at the first read.
///
/// # Errors
///
/// See [`Error`]. The peer was told; the transport is closed.
pub async fn connect(
    transport: impl Transport + 'static,
    options: &ClientOptions,
) -> Result<(Stream, Info), Error> {
    let connector = Connector::new(options)?;
    connector.connect(Box::new(transport), Vec::new()).await
}

/// Begins TLS as the server.
///
/// # Errors
///
/// See [`Error`]. The peer was told; the transport is closed.
pub async fn accept(
    transport: impl Transport + 'static,
    options: &ServerOptions,
) -> Result<(Stream, Info), Error> {
    let acceptor = Acceptor::new(options)?;
    acceptor.accept(Box::new(transport), Vec::new()).await
}

/// All that a client needs for a handshake.
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    server_name: Option<String>,
}

impl Connector {
    pub(crate) fn new(options: &ClientOptions) -> Result<Connector, Error> {
        let name = match (&options.server_name, &options.trust) {
            // Whatever it is, nobody asked for it to be verified.
            (Some(name), Trust::Nobody) => server_name(name).unwrap_or_else(|_| nameless()),
            (None, Trust::Nobody) => nameless(),
            (Some(name), _) => server_name(name)?,
            (None, _) => return Err(Error::NoServerName),
        };
        Ok(Connector {
            config: configuration::client(options)?,
            name,
            server_name: options.server_name.clone(),
        })
    }

    /// Begins TLS; these octets of the peer were read already.
    pub(crate) async fn connect(
        self,
        transport: Box<dyn Transport>,
        held_input: Vec<u8>,
    ) -> Result<(Stream, Info), Error> {
        let transport = Resumed::new(transport, held_input);
        let handshake = TlsConnector::from(self.config)
            .connect(self.name, transport)
            .into_fallible();
        let (tls, notes) = noting(handshake, self.server_name.as_deref()).await?;
        let info = Info::of_client(tls.get_ref().1, self.server_name);
        let stream = Stream {
            tls: tls.into(),
            is_certificate_wanted: notes.is_certificate_wanted,
        };
        Ok((stream, info))
    }
}

/// All that a server needs for a handshake.
pub(crate) struct Acceptor {
    config: Arc<ServerConfig>,
    certificate: Option<CertificateDer<'static>>,
}

impl Acceptor {
    pub(crate) fn new(options: &ServerOptions) -> Result<Acceptor, Error> {
        Ok(Acceptor {
            config: configuration::server(options)?,
            certificate: options.identity.certified().cert.first().cloned(),
        })
    }

    /// Begins TLS; these octets of the peer were read already.
    pub(crate) async fn accept(
        self,
        transport: Box<dyn Transport>,
        held_input: Vec<u8>,
    ) -> Result<(Stream, Info), Error> {
        let transport = Resumed::new(transport, held_input);
        let handshake = TlsAcceptor::from(self.config)
            .accept(transport)
            .into_fallible();
        let (tls, _) = noting(handshake, None).await?;
        let info = Info::of_server(tls.get_ref().1, self.certificate);
        let stream = Stream {
            tls: tls.into(),
            is_certificate_wanted: false,
        };
        Ok((stream, info))
    }
}

/// A name for rustls where there is none: addresses are not told to the server.
fn nameless() -> ServerName<'static> {
    ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into())
}

/// Goes through a handshake, and says why it failed if it did.
async fn noting<T>(
    handshake: impl Future<Output = Result<T, (io::Error, Resumed)>>,
    server_name: Option<&str>,
) -> Result<(T, Notes), Error> {
    let (outcome, notes) = NOTES
        .scope(RefCell::default(), async {
            let outcome = handshake.await;
            (outcome, NOTES.with(RefCell::take))
        })
        .await;
    match outcome {
        Ok(tls) => Ok((tls, notes)),
        Err((error, transport)) => {
            tokio::spawn(hang_up(transport));
            Err(match notes.fault {
                Some(fault) => Error::Certificate {
                    whose: server_name
                        .map(str::to_owned)
                        .or(notes.name)
                        .unwrap_or_else(|| "the peer".to_owned()),
                    fault,
                },
                None => Error::of_stream(error, notes.is_certificate_wanted),
            })
        }
    }
}

/// Ends the connection so that the alert arrives: closing it with octets unread would take the alert back.
async fn hang_up(mut transport: Resumed) {
    const REST_MOST: u64 = 1 << 20;
    let _ = timeout(LINGER, async {
        let _ = transport.shutdown().await;
        let mut rest = transport.take(REST_MOST);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    })
    .await;
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_certificate_wanted = self.is_certificate_wanted;
        match Pin::new(&mut self.tls).poll_read(cx, buffer) {
            // BEEP tells by itself whether the end was agreed to, so one without TLS's own farewell is as good as any.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                let error = Error::of_stream(error, is_certificate_wanted);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
            outcome => outcome,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// A transport of which something was read already.
struct Resumed {
    transport: Box<dyn Transport>,
    /// What was read, and how much of it has been given.
    held_input: io::Cursor<Vec<u8>>,
}

impl Resumed {
    fn new(transport: Box<dyn Transport>, held_input: Vec<u8>) -> Self {
        Resumed {
            transport,
            held_input: io::Cursor::new(held_input),
        }
    }
}

impl AsyncRead for Resumed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.held_input.get_ref().is_empty() {
            let before = buffer.filled().len();
            let read = Pin::new(&mut self.held_input).poll_read(cx, buffer);
            if buffer.filled().len() > before {
                return read;
            }
            self.held_input = io::Cursor::default();
        }
        Pin::new(&mut self.transport).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resumed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}
