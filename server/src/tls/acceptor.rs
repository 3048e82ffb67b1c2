//! What all TLS connections of the server share, and how its certificate is renewed while it runs.

use std::fs;
use std::hash::BuildHasher;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Certificate, CertificateError, Session};

/// The certificate that new connections are shown.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Makes sessions; its certificate can be exchanged.
pub(crate) struct Acceptor {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
    files: Mutex<Files>,
}

/// Where the certificate is, and how the files were when they were last looked at.
struct Files {
    cert: PathBuf,
    key: PathBuf,
    seen: [Option<Stamp>; 2],
}

/// Tells whether a file is another one or has changed, through links as certbot exchanges them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    /// Of what is in it: a clock may stand still between two writes.
    content: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        let content = foldhash::quality::FixedState::default().hash_one(fs::read(path).ok()?);
        let modified = (meta.mtime(), meta.mtime_nsec());
        Some(Self { device: meta.dev(), inode: meta.ino(), modified, content })
    }
}

impl Files {
    fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.cert, &self.key].map(|path| Stamp::of(path))
    }
}

/// What a look at the files brought.
pub(crate) enum Renewal {
    /// They are what they were.
    Same,
    /// What is in them is used from now on; these are its warnings.
    Taken(Vec<String>),
    /// They have changed and cannot be used.
    Refused(CertificateError),
}

impl Acceptor {
    /// With the certificate in these files.
    pub(crate) fn new(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        let mut files = Files { cert: cert.to_owned(), key: key.to_owned(), seen: [None; 2] };
        files.seen = files.stamps();
        let current = Arc::new(Current(ArcSwap::new(Certificate::load(cert, key)?.key)));
        let unusable = |error| CertificateError::Certificate(cert.to_owned(), error);
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Who comes back, as all do after a restart of the network, is known by a ticket: no signature, no memory here.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
        Ok(Self { config: Arc::new(config), current, files: Mutex::new(files) })
    }

    /// A session for a connection that was just accepted.
    pub(crate) fn session(&self) -> Result<Session, rustls::Error> {
        Session::new(self.config.clone())
    }

    /// Takes over what is in these files now; when it cannot be used, the old certificate stays.
    pub(crate) fn replace(&self, cert: &Path, key: &Path) -> Result<(), CertificateError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = Files { cert: cert.to_owned(), key: key.to_owned(), seen: [None; 2] };
        new.seen = new.stamps();
        let certified = Certificate::load(cert, key)?.key;
        *files = new;
        self.current.0.store(certified);
        Ok(())
    }

    /// Takes over the certificate if its files have changed since they were last looked at.
    pub(crate) fn look(&self) -> Renewal {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let now = files.stamps();
        if now == files.seen {
            return Renewal::Same;
        }
        // What cannot be used is said once, and tried again when it changes again: the second file may be on its way.
        files.seen = now;
        match Certificate::load(&files.cert, &files.key) {
            Ok(Certificate { key, warnings }) => {
                self.current.0.store(key);
                Renewal::Taken(warnings)
            }
            Err(error) => Renewal::Refused(error),
        }
    }
}
