//! What lies in the working directory and in the folders above it, and may be used: up to the root of the repository, and only
//! what no other user of the machine can have written. A template names commands to run, and a folder `.taskctl` holds programs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use taskctl_stack::event::ErrorReport;

use crate::exit::Exit;
use crate::failure::{Failure, Message};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nearest {
    /// This may be used.
    Found(PathBuf),
    /// There is none.
    Nothing,
    /// There is none, but one lies above a working directory that is in no repository.
    OutOfReach(PathBuf),
}

/// Why a path is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// It belongs to another user.
    Owner {
        /// What belongs to them.
        path: PathBuf,
        uid: u32,
    },
    /// Others can write it.
    Writable(PathBuf),
}

impl Distrust {
    /// The error: what was found, and what else can be done.
    pub fn failure(&self, what: &Path, otherwise: &str) -> Failure {
        let shown = what.display();
        let (why, hint) = match self {
            Self::Owner { path, uid } if path == what => (
                format!("it belongs to another user ({uid})"),
                format!("to make it yours: sudo chown -R \"$(id -u)\" {shown}; {otherwise}"),
            ),
            Self::Owner { path, uid } => (
                format!("{} belongs to another user ({uid})", path.display()),
                otherwise.to_owned(),
            ),
            Self::Writable(path) => (
                match path == what {
                    true => "it is writable by others".to_owned(),
                    false => format!("{} is writable by others", path.display()),
                },
                format!("chmod go-w {}; {otherwise}", path.display()),
            ),
        };
        let cause = "its contents run with your permissions, so only you may be able to write it".to_owned();
        let report = ErrorReport {
            message: format!("{shown} is not used: {why}"),
            causes: vec![cause],
            hint: Some(hint),
        };
        Failure {
            exit: Exit::Error,
            message: Message::Report(report),
        }
    }
}

/// The nearest of what `find` finds in a folder, from the working directory up to the root of the repository.
pub fn nearest(directory: &Path, find: impl Fn(&Path) -> Option<PathBuf>) -> Result<Nearest, (PathBuf, Distrust)> {
    let boundary = boundary(directory);
    let within = directory
        .ancestors()
        .take_while(|folder| *folder == directory || boundary.as_ref().is_some_and(|root| folder.starts_with(root)));
    for folder in within {
        let Some(found) = find(folder) else { continue };
        let mut paths = vec![found.as_path()];
        // The working directory is the user's choice; further up, another user could put a file in its place.
        if folder != directory {
            paths.push(folder);
        }
        return match paths.into_iter().find_map(distrust) {
            Some(distrust) => Err((found, distrust)),
            None => Ok(Nearest::Found(found)),
        };
    }
    let above = directory.ancestors().skip(1).find_map(&find);
    Ok(match (boundary, above) {
        (None, Some(found)) => Nearest::OutOfReach(found),
        _ => Nearest::Nothing,
    })
}

/// The root of the repository; where there is none, of the Cargo workspace, or of the package.
fn boundary(directory: &Path) -> Option<PathBuf> {
    let nearest = |is: &dyn Fn(&Path) -> bool| directory.ancestors().find(|folder| is(folder)).map(Path::to_owned);
    let manifest = |folder: &Path| fs::read_to_string(folder.join("Cargo.toml")).ok();
    let is_workspace = |folder: &Path| {
        manifest(folder).is_some_and(|text| text.lines().any(|line| line.trim_start().starts_with("[workspace")))
    };
    nearest(&|folder| folder.join(".git").exists())
        .or_else(|| nearest(&is_workspace))
        .or_else(|| nearest(&|folder| folder.join("Cargo.toml").is_file()))
}

/// Why a path may have been written by another user; none if it cannot. Links are followed, too.
pub fn distrust(path: &Path) -> Option<Distrust> {
    let own = rustix::process::geteuid().as_raw();
    let is_foreign = |uid: u32| uid != own && uid != 0;
    let owner = |uid| Distrust::Owner {
        path: path.to_owned(),
        uid,
    };
    if let Some(link) = fs::symlink_metadata(path).ok().filter(|link| is_foreign(link.uid())) {
        return Some(owner(link.uid()));
    }
    let metadata = fs::metadata(path).ok()?;
    if is_foreign(metadata.uid()) {
        return Some(owner(metadata.uid()));
    }
    let by_group = metadata.mode() & 0o020 != 0 && !is_private(metadata.gid(), own);
    (by_group || metadata.mode() & 0o002 != 0).then(|| Distrust::Writable(path.to_owned()))
}

/// Whether a group is a user's alone: many systems give each user a group, and let it write what the user makes (umask 002).
fn is_private(gid: u32, uid: u32) -> bool {
    let (passwd, group) = (fs::read_to_string("/etc/passwd"), fs::read_to_string("/etc/group"));
    is_private_by(&passwd.unwrap_or_default(), &group.unwrap_or_default(), gid, uid)
}

/// By the text of passwd(5) and group(5). A group that they do not know is private when it has the user's number.
fn is_private_by(passwd: &str, group: &str, gid: u32, uid: u32) -> bool {
    let (gid, uid) = (gid.to_string(), uid.to_string());
    let users: Vec<Vec<&str>> = passwd.lines().map(|line| line.split(':').collect()).collect();
    let own_name = users
        .iter()
        .find(|user| user.get(2) == Some(&&*uid))
        .map(|user| user[0]);
    let has_others = users
        .iter()
        .any(|user| user.get(3) == Some(&&*gid) && user.get(2) != Some(&&*uid));
    let known = group
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|group| group.get(2) == Some(&&*gid));
    match known {
        Some(known) => {
            let mut members = known.get(3).into_iter().flat_map(|members| members.split(','));
            !has_others && members.all(|member| member.is_empty() || Some(member) == own_name)
        }
        None => !has_others && gid == uid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_private_when_nobody_else_is_in_it() {
        const PASSWD: &str = "root:x:0:0:::\nada:x:1000:1000:::\nbob:x:1001:1001:::\neve:x:1002:100:::\n";
        const GROUP: &str = "root:x:0:\nada:x:1000:\nbob:x:1001:bob,eve\nusers:x:100:\nown:x:50:ada\n";
        let check = |gid, uid, expected| assert_eq!(is_private_by(PASSWD, GROUP, gid, uid), expected, "{gid} {uid}");
        check(1000, 1000, true);
        check(50, 1000, true);
        check(1001, 1001, false);
        check(100, 1000, false);
        check(1000, 1001, false);
        check(2000, 2000, true);
        check(2000, 2001, false);
    }
}
