//! A subscriber's socket, with TLS or without.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::LoadError;

/// How a crowd speaks TLS: as clients who come for the first time, so that each handshake is a whole one.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the certificate in this file, of a server named localhost.
    pub(crate) fn trusting(file: &Path) -> Result<Self, LoadError> {
        let unusable = |error: &dyn std::fmt::Display| LoadError::Io {
            what: "use the server's certificate",
            source: io::Error::other(error.to_string()),
        };
        let certificate = CertificateDer::from_pem_file(file).map_err(|error| unusable(&error))?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).map_err(|error| unusable(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}

/// A subscriber's socket.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(TcpStream, Box<ClientConnection>),
}

impl Socket {
    pub(crate) fn new(socket: TcpStream, tls: Option<&Tls>) -> Result<Self, LoadError> {
        let Some(Tls(config)) = tls else { return Ok(Self::Plain(socket)) };
        // The name is ASCII and always valid.
        let name = ServerName::try_from("localhost").map_err(|_| LoadError::Refused("localhost".to_owned()))?;
        let client = ClientConnection::new(config.clone(), name)
            .map_err(|error| LoadError::Io { what: "begin TLS", source: io::Error::other(error) })?;
        Ok(Self::Tls(socket, Box::new(client)))
    }

    /// Whether a read that does not fill its buffer has emptied the kernel's.
    pub(crate) fn tells_its_end(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

/// Sends what TLS has to send, as far as the kernel takes it.
fn send(client: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while client.wants_write() {
        match client.write_tls(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            other => other.map(drop)?,
        }
    }
    Ok(())
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (socket, client) = match self {
            Self::Plain(socket) => return socket.read(buffer),
            Self::Tls(socket, client) => (socket, client),
        };
        loop {
            match client.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if client.read_tls(socket)? == 0 {
                return Ok(0);
            }
            client.process_new_packets().map_err(io::Error::other)?;
            send(client, socket)?;
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(socket, client) => {
                // Until the handshake is done it waits here.
                let written = client.writer().write(bytes)?;
                send(client, socket)?;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        let (Self::Plain(socket) | Self::Tls(socket, _)) = self;
        socket.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        let (Self::Plain(socket) | Self::Tls(socket, _)) = self;
        socket.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        let (Self::Plain(socket) | Self::Tls(socket, _)) = self;
        socket.deregister(registry)
    }
}
