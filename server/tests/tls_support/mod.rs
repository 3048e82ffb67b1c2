//! Certificates made for a test, and clients that speak TLS.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part of it, and a test may fail")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use realtime_server::config::Config;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::Value;
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::support::http::Http;
use crate::support::{PATIENCE, TestServer};

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate for localhost and its key, in files.
pub struct Files {
    dir: TempDir,
}

impl Files {
    pub fn new() -> Self {
        let files = Self { dir: TempDir::new().unwrap() };
        files.renew();
        files
    }

    pub fn cert(&self) -> PathBuf {
        self.dir.path().join("fullchain.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.dir.path().join("privkey.pem")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes another certificate and key.
    pub fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        fs::write(self.cert(), made.cert.pem()).unwrap();
        fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
    }

    /// The first certificate in the file.
    pub fn shown(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.cert()).unwrap()
    }

    /// What TLS needs, and everything else as it is.
    pub fn configure(&self, config: Config) -> Config {
        Config {
            tls_listen: Some("127.0.0.1:0".parse().unwrap()),
            tls_cert: Some(self.cert()),
            tls_key: Some(self.key()),
            ..config
        }
    }

    /// A client that trusts this certificate only.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.shown()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// The versions that are spoken.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A socket on the port of TLS that has said nothing yet.
pub fn raw(server: &TestServer) -> TcpStream {
    let socket = TcpStream::connect(server.server.as_ref().unwrap().tls_address().unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// A connection whose handshake happens with the first bytes.
pub fn connect(server: &TestServer, client: &Arc<ClientConfig>) -> Stream {
    secured(raw(server), client)
}

/// The same over this socket.
pub fn secured(socket: TcpStream, client: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(client.clone(), name).unwrap(), socket)
}

/// HTTP over TLS.
pub fn https(server: &TestServer, client: &Arc<ClientConfig>) -> Http<Stream> {
    Http::new(connect(server, client))
}

/// A WebSocket over TLS.
pub struct Secure {
    pub socket: WebSocket<Stream>,
}

impl Secure {
    /// A browser that was welcomed.
    pub fn browser(server: &TestServer, client: &Arc<ClientConfig>) -> Self {
        Self::browser_over(raw(server), server, client)
    }

    /// The same over this socket.
    pub fn browser_over(socket: TcpStream, server: &TestServer, client: &Arc<ClientConfig>) -> Self {
        let (socket, _) = tungstenite::client(server.request("/"), secured(socket, client)).unwrap();
        let mut secure = Self { socket };
        assert_eq!(secure.json()["type"], "welcome");
        secure
    }

    /// A publisher.
    pub fn publisher(server: &TestServer, client: &Arc<ClientConfig>) -> Self {
        let (socket, _) = tungstenite::client(server.publisher_request(), connect(server, client)).unwrap();
        Self { socket }
    }

    pub fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).unwrap();
    }

    pub fn json(&mut self) -> Value {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected text, got {other:?}"),
            }
        }
    }

    pub fn ask(&mut self, command: &Value) -> Value {
        self.send(command.to_string());
        self.json()
    }

    pub fn subscribe(&mut self, channel: &str) -> Value {
        let reply = self.ask(&serde_json::json!({"type": "subscribe", "channel": channel}));
        assert_eq!(reply["type"], "subscribed", "{reply}");
        reply
    }

    pub fn tls(&mut self) -> &mut ClientConnection {
        &mut self.socket.get_mut().conn
    }

    /// Writes bytes that TLS has made but a WebSocket does not know of.
    pub fn flush_tls(&mut self) {
        let stream = self.socket.get_mut();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut stream.sock).unwrap();
        }
    }
}

/// How a connection ended for TLS: with a goodbye, or cut off.
pub fn ends_cleanly(stream: &mut (impl Read + Write)) -> bool {
    stream.read_to_end(&mut Vec::new()).is_ok()
}
