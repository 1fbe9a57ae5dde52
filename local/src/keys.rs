//! The access keys of a local target, all derived from one random secret of its root. Nothing is kept but that secret: an access
//! key names an account, a session token names a role, and the secret access key follows from both.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::LocalError;
use crate::files;
use crate::options::LocalOptions;

/// The account of a local target unless another one is asked for.
pub const DEFAULT_ACCOUNT: &str = "000000000000";

/// Bytes of the secret.
const LENGTH: usize = 32;
/// Prefix of session tokens.
const TOKEN: &str = "taskctl-local.";

/// An access key with its secret, as clients take them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`: the account's number, or `ASIA…` for a role.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN` of a caller who acts as a role.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Credentials({})", self.access_key_id)
    }
}

/// A session of an assumed role, and when it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// ARN of the role, with its path.
    pub role: String,
    /// Name of the session.
    pub name: String,
    /// When it ends, seconds since the epoch; sessions of functions do not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

impl Session {
    /// The account of the role.
    pub(crate) fn account(&self) -> Option<&str> {
        self.role.split(':').nth(4).filter(|account| is_account(account))
    }

    /// ARN of the session, as `GetCallerIdentity` shows it.
    pub(crate) fn arn(&self) -> String {
        let role = self.role.rsplit('/').next().unwrap_or_default();
        let account = self.account().unwrap_or(DEFAULT_ACCOUNT);
        format!("arn:aws:sts::{account}:assumed-role/{role}/{}", self.name)
    }
}

/// Whether a text is the number of an account.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The secret of a root.
#[derive(Clone)]
pub struct Keys {
    secret: [u8; LENGTH],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys")
    }
}

impl Keys {
    /// Reads the secret of a root; makes it when there is none.
    pub(crate) fn open(options: &LocalOptions) -> Result<Self, LocalError> {
        match Self::read(options)? {
            Some(keys) => Ok(keys),
            None => Self::make(&options.path(FILE)),
        }
    }

    /// Reads the secret of a root. `None` when it has none, and when others may know it or have put it there: then another one
    /// is made.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(options: &LocalOptions) -> Result<Option<Self>, LocalError> {
        let path = options.path(FILE);
        let io = |source| LocalError::io("reading", &path, source);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io(source)),
        };
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_file() || !own || metadata.permissions().mode() & 0o077 != 0 {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(io)?;
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).unwrap_or_default();
        Ok(bytes.try_into().ok().map(|secret| Self { secret }))
    }

    fn make(path: &Path) -> Result<Self, LocalError> {
        let io = |source| LocalError::io("writing", path, source);
        files::remove(path)?;
        if let Some(parent) = path.parent() {
            files::create_directory(parent)?;
        }
        let keys = Self::random().map_err(io)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        let text = format!("{}\n", URL_SAFE_NO_PAD.encode(keys.secret));
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(keys)
    }

    /// Keys of no root, for a runtime host by itself.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> std::io::Result<Self> {
        let mut secret = [0; LENGTH];
        getrandom::fill(&mut secret).map_err(std::io::Error::other)?;
        Ok(Self { secret })
    }

    /// Credentials of a function that acts as a role. They do not end.
    pub fn of_role(&self, role: &str) -> Credentials {
        self.of_session(&Session {
            role: role.to_owned(),
            name: "local".to_owned(),
            expires: None,
        })
    }

    /// The operator's credentials in an account.
    pub(crate) fn of_account(&self, account: &str) -> Credentials {
        Credentials {
            access_key_id: account.to_owned(),
            secret_access_key: self.derive(&["account", account]),
            session_token: None,
        }
    }

    /// Credentials of a session of a role.
    pub(crate) fn of_session(&self, session: &Session) -> Credentials {
        let json = serde_json::to_vec(session).unwrap_or_default();
        let token = format!("{TOKEN}{}", URL_SAFE_NO_PAD.encode(json));
        let access_key_id = self.session_key(&token);
        Credentials {
            secret_access_key: self.derive(&["session", &access_key_id, &token]),
            access_key_id,
            session_token: Some(token),
        }
    }

    /// The secret of an access key and the session that its token names; `None` when they are not of this root.
    pub(crate) fn find(&self, access_key_id: &str, token: Option<&str>) -> Option<(String, Option<Session>)> {
        let Some(token) = token else {
            return is_account(access_key_id).then(|| (self.of_account(access_key_id).secret_access_key, None));
        };
        // The secret proves that the token was issued here; the token is not trusted before.
        let json = URL_SAFE_NO_PAD.decode(token.strip_prefix(TOKEN)?).ok()?;
        let session: Session = serde_json::from_slice(&json).ok()?;
        let known = access_key_id == self.session_key(token);
        known.then(|| (self.derive(&["session", access_key_id, token]), Some(session)))
    }

    fn session_key(&self, token: &str) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let derived = self.mac(&["access key", token]);
        let letters = derived
            .iter()
            .take(16)
            .map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
        std::iter::once("ASIA".to_owned())
            .chain(letters.map(String::from))
            .collect()
    }

    fn derive(&self, parts: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(parts))
    }

    fn mac(&self, parts: &[&str]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("a key of any length");
        for part in parts {
            // A length before each part: no two lists of parts give the same bytes.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

/// The file of the secret in its root.
pub(crate) const FILE: &str = "secret";

/// The credentials with which the local target of these options is called: the operator's in an account, or a role's. Makes the
/// root's secret when there is none.
pub fn credentials(options: &LocalOptions, account: &str, role: Option<&str>) -> Result<Credentials, LocalError> {
    let keys = Keys::open(options)?;
    Ok(match role {
        None => keys.of_account(account),
        Some(role) => keys.of_role(role),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use super::*;

    fn root() -> (tempfile::TempDir, LocalOptions) {
        let directory = tempfile::tempdir().unwrap();
        let options = LocalOptions::new(&directory.path().join("root"), directory.path());
        (directory, options)
    }

    fn session(role: &str) -> Session {
        Session {
            role: format!("arn:aws:iam::111122223333:role/taskctl/app/dev/{role}"),
            name: "s".to_owned(),
            expires: None,
        }
    }

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_reads_it() {
        let (_directory, options) = root();
        assert!(Keys::read(&options).unwrap().is_none());
        let made = Keys::open(&options).unwrap();
        assert_eq!(Keys::open(&options).unwrap().secret, made.secret);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&options.path(FILE)), 0o600);
        assert_eq!(mode(&options.root), 0o700);
    }

    #[test]
    fn a_secret_that_others_can_read_or_have_put_there_is_replaced() {
        let (directory, options) = root();
        let made = Keys::open(&options).unwrap();
        fs::set_permissions(options.path(FILE), fs::Permissions::from_mode(0o640)).unwrap();
        let second = Keys::open(&options).unwrap();
        assert_ne!(second.secret, made.secret);
        let elsewhere = directory.path().join("elsewhere");
        fs::rename(options.path(FILE), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, options.path(FILE)).unwrap();
        assert_ne!(Keys::open(&options).unwrap().secret, second.secret);
    }

    #[test]
    fn keys_of_accounts_and_roles_are_told_apart() {
        let (_directory, options) = root();
        let keys = Keys::open(&options).unwrap();
        let operator = keys.of_account(DEFAULT_ACCOUNT);
        assert_eq!(
            keys.find(DEFAULT_ACCOUNT, None),
            Some((operator.secret_access_key.clone(), None))
        );
        assert_ne!(
            keys.of_account("111122223333").secret_access_key,
            operator.secret_access_key
        );
        assert_eq!(keys.find("test", None), None);

        let tasks = keys.of_session(&session("tasks"));
        let token = tasks.session_token.as_deref();
        assert_eq!(
            keys.find(&tasks.access_key_id, token),
            Some((tasks.secret_access_key.clone(), Some(session("tasks"))))
        );
        assert_eq!(tasks.access_key_id.len(), 20);
        let users = keys.of_session(&session("users"));
        assert_eq!(keys.find(&tasks.access_key_id, users.session_token.as_deref()), None);
        assert_eq!(keys.find(&tasks.access_key_id, None), None);
        assert_eq!(keys.find(&tasks.access_key_id, Some("taskctl-local.e30")), None);
    }

    #[test]
    fn another_root_has_other_keys() {
        let ((_one, first), (_two, second)) = (root(), root());
        let account = |options| Keys::open(options).unwrap().of_account(DEFAULT_ACCOUNT);
        assert_ne!(account(&first).secret_access_key, account(&second).secret_access_key);
    }

    #[test]
    fn sessions_have_the_arn_of_aws() {
        assert_eq!(session("tasks").arn(), "arn:aws:sts::111122223333:assumed-role/tasks/s");
    }
}
