//! Certificates for tests: an authority that signs whatever a scene wants, right or wrong, into files as a machine has
//! them. A crate of its own, so that no program carries it and a build for tests is otherwise the same; it panics where
//! a test should.
#![allow(clippy::missing_panics_doc, reason = "a scene that has no certificates has nothing to show")]

use interrex_tls::{Files, Owner, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Signs certificates, and has a directory to put them in.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

/// What to sign. Begin with [`Leaf::of`] or [`Leaf::operator`].
pub struct Leaf {
    names: Vec<String>,
    ip: Option<IpAddr>,
    usage: Vec<ExtendedKeyUsagePurpose>,
    days_left: i64,
}

impl Leaf {
    /// A machine's, also good for 127.0.0.1; it lasts for a year.
    #[must_use]
    pub fn of(machine: &str) -> Self {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let ip = Some(Ipv4Addr::LOCALHOST.into());
        Self { names: vec![machine.to_owned()], ip, usage: vec![ServerAuth, ClientAuth], days_left: 365 }
    }

    /// An operator's: it only asks.
    #[must_use]
    pub fn operator(name: &str) -> Self {
        Self { usage: vec![ExtendedKeyUsagePurpose::ClientAuth], ..Self::of(name) }
    }

    /// Good for its names alone.
    #[must_use]
    pub fn without_ip(self) -> Self {
        Self { ip: None, ..self }
    }

    /// Ends in so many days; negative: has ended.
    #[must_use]
    pub fn ends_in(self, days: i64) -> Self {
        Self { days_left: days, ..self }
    }
}

impl Authority {
    /// A new one with its certificate in `dir/ca.pem`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir).expect("a directory");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, dir.display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        fs::write(dir.join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, dir: dir.to_owned() }
    }

    /// Signs into `dir/NAME.pem` and `dir/NAME.key` (0600), replacing what is there.
    #[must_use]
    pub fn sign(&self, name: &str, leaf: Leaf) -> Files {
        let mut params = CertificateParams::new(leaf.names).expect("names");
        params.subject_alt_names.extend(leaf.ip.map(SanType::IpAddress));
        params.extended_key_usages = leaf.usage;
        let day = |days: i64| {
            let span = Duration::from_secs(days.unsigned_abs() * 86_400);
            let now = SystemTime::now();
            if days < 0 { now - span } else { now + span }
        };
        params.not_before = day(leaf.days_left.min(0) - 30).into();
        params.not_after = day(leaf.days_left).into();
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let files = self.files(name);
        let (cert_path, key_path) = files.own.as_ref().expect("an own certificate");
        fs::write(cert_path, cert.pem()).expect("a file");
        secret(key_path, &key.serialize_pem());
        files
    }

    /// Where [`Authority::sign`] puts what is called `name`.
    #[must_use]
    pub fn files(&self, name: &str) -> Files {
        let at = |end: &str| self.dir.join(format!("{name}.{end}"));
        Files { ca: self.dir.join("ca.pem"), own: Some((at("pem"), at("key"))) }
    }

    /// A machine's TLS.
    #[must_use]
    pub fn machine(&self, name: &str) -> Tls {
        let files = self.sign(name, Leaf::of(name));
        Tls::load(files, Owner::Machine(name.to_owned())).expect("it fits")
    }

    /// An operator's, with a certificate or without.
    #[must_use]
    pub fn operator(&self, name: Option<&str>) -> Tls {
        let files = match name {
            Some(name) => self.sign(name, Leaf::operator(name)),
            None => Files { own: None, ..self.files("nobody") },
        };
        Tls::load(files, Owner::Operator).expect("it fits")
    }
}

/// Writes a file that nobody else can read.
pub fn secret(path: &Path, text: &str) {
    let mut open = OpenOptions::new();
    let mut file = open.write(true).create(true).truncate(true).mode(0o600).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("a disk");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("a mode");
}
