//! A certificate and its key, read from files in PEM.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError as Invalid;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

const CERT: &str = "tls_cert";
const KEY: &str = "tls_key";

/// What a server shows of itself, and proves by its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// What works and is probably not meant.
    pub(crate) warnings: Vec<String>,
}

/// Why a certificate cannot be used.
#[derive(Debug)]
pub enum CertificateError {
    /// The file that this key names cannot be read.
    Read(&'static str, PathBuf, io::Error),
    /// The file that this key names is no PEM.
    Pem(&'static str, PathBuf, pem::Error),
    /// The file of `tls_cert` has no certificate.
    NoCertificate(PathBuf),
    /// The file of `tls_key` has no key.
    NoKey(PathBuf),
    /// The key is encrypted.
    EncryptedKey(PathBuf),
    /// The certificate is of no use.
    Certificate(PathBuf, Error),
    /// The key is of no use.
    Key(PathBuf, Error),
    /// They do not belong together.
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

impl CertificateError {
    /// The key of the configuration that it is about.
    pub(crate) fn about(&self) -> &'static str {
        match self {
            Self::Read(key, ..) | Self::Pem(key, ..) => key,
            Self::NoKey(_) | Self::EncryptedKey(_) | Self::Key(..) | Self::Mismatch { .. } => KEY,
            Self::NoCertificate(_) | Self::Certificate(..) => CERT,
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_, path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Pem(_, path, error) => write!(f, "{} is not in PEM format: {error}", path.display()),
            Self::NoCertificate(path) => write!(
                f,
                "{} has no certificate in PEM format (-----BEGIN CERTIFICATE-----); with certbot it is fullchain.pem",
                path.display()
            ),
            Self::NoKey(path) => write!(
                f,
                "{} has no private key in PEM format (-----BEGIN PRIVATE KEY-----); with certbot it is privkey.pem",
                path.display()
            ),
            Self::EncryptedKey(path) => write!(
                f,
                "the key in {} is encrypted; write it without a passphrase: openssl pkey -in KEY -out FILE",
                path.display()
            ),
            Self::Certificate(path, error) => {
                write!(f, "the certificate in {} cannot be used: {error}", path.display())
            }
            Self::Key(path, error) => write!(f, "the key in {} cannot be used: {error}", path.display()),
            Self::Mismatch { cert, key } => write!(
                f,
                "the key in {} does not belong to the first certificate in {}; the server's own certificate comes first, \
                 then those that signed it",
                key.display(),
                cert.display()
            ),
        }
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Reads and checks both files.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain = chain(cert)?;
        let private = private_key(key)?;
        let certified = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertificateError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }
            }
            Error::InvalidCertificate(_) => CertificateError::Certificate(cert.to_owned(), error),
            error => CertificateError::Key(key.to_owned(), error),
        })?;
        let mut warnings = Vec::new();
        if let Some(first) = certified.cert.first() {
            let invalid = invalid_at(first, UnixTime::now())
                .map_err(|error| CertificateError::Certificate(cert.to_owned(), error))?;
            warnings.extend(invalid.map(|why| format!("the certificate in {} {why}", cert.display())));
        }
        // Servers of certificates read it as root; whoever may read it can pass for this server.
        if fs::metadata(key).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
            let key = key.display();
            warnings
                .push(format!("every user of this machine can read the key in {key}; mend it with: chmod o-r {key}"));
        }
        Ok(Self { key: Arc::new(certified), warnings })
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(CERT, path, error))?;
    if chain.is_empty() { Err(CertificateError::NoCertificate(path.to_owned())) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            let text = fs::read_to_string(path).unwrap_or_default();
            let kind =
                if text.contains("ENCRYPTED") { CertificateError::EncryptedKey } else { CertificateError::NoKey };
            kind(path.to_owned())
        }
        error => unreadable(KEY, path, error),
    })
}

fn unreadable(key: &'static str, path: &Path, error: pem::Error) -> CertificateError {
    match error {
        pem::Error::Io(error) => CertificateError::Read(key, path.to_owned(), error),
        error => CertificateError::Pem(key, path.to_owned(), error),
    }
}

/// Why nobody trusts a certificate at `time`, whoever signed it. The dates are looked at before the signatures, and
/// against no authority all else ends in an unknown issuer.
fn invalid_at(certificate: &CertificateDer<'_>, time: UnixTime) -> Result<Option<String>, Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let verified = verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], time, algorithms);
    let days = |from: UnixTime, to: UnixTime| {
        Duration::from_secs(to.as_secs().saturating_sub(from.as_secs())).as_secs() / (24 * 3600)
    };
    Ok(match verified {
        Err(Error::InvalidCertificate(Invalid::ExpiredContext { time, not_after })) => Some(format!(
            "has expired {} days ago, so clients refuse it; renew it, and it is taken over by itself",
            days(not_after, time)
        )),
        Err(Error::InvalidCertificate(Invalid::NotValidYetContext { time, not_before })) => Some(format!(
            "begins to be valid in {} days, so clients refuse it; look at this machine's clock",
            days(time, not_before)
        )),
        _ => None,
    })
}
