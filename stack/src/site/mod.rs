//! The files of a web site, as they are published: what a page refers to gets a hash in its name and may be cached for
//! ever; pages and everything else keep their names and change when a release goes live. What has a hash in its name is
//! published under its plain name as well while its release is live, since not every reference can be found.
//! Not how they reach the bucket (that is `aws::kinds::site`).

mod references;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::digest::hex;

/// Where the pages of each kept content lie in the bucket, by the content's id, and its list of files.
pub const KEPT: &str = ".taskctl/";
/// The file from which pages learn where the API is.
pub const CONFIG: &str = "config.json";
/// Stands for the origin of the stack's API in pages, as in `connect-src 'self' taskctl-api:`. It is written where it becomes
/// known, when a page is published; left as it is, it lets a page connect nowhere.
/// <https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Content-Security-Policy/connect-src>
pub const API_ORIGIN: &str = "taskctl-api:";
/// Most files of a site: each is a call when it is new.
pub const MAX_FILES: usize = 5_000;
/// Bytes of the hash in a file's name.
const HASH: usize = 5;
/// Texts up to this size are searched for references, bytes.
const LARGEST_TEXT: u64 = 4 * 1024 * 1024;

/// A site's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Hash over all files: 12 hexadecimal digits.
    pub id: String,
    /// Its files.
    pub files: Vec<File>,
}

/// A file of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path in the folder, with `/`.
    pub path: String,
    /// How it is published.
    pub place: Place,
    /// MD5 of what is published, hexadecimal: the ETag that S3 gives an object encrypted with SSE-S3.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>
    pub etag: String,
    /// What is published.
    pub content: Content,
}

/// How a file is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Under this key, for ever.
    Hashed(String),
    /// Under its own name, when a release goes live.
    Page,
}

/// What is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The file as it lies.
    AsIs(PathBuf),
    /// With the names of other files replaced.
    Text(String),
}

/// Why a folder cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Reading failed.
    #[error("reading {} failed: {source}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it cannot be published.
    #[error("{} cannot be published: {why}", path.display())]
    Unfit {
        /// What.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl SiteError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => Some(
                "check that it exists and may be read, or name another folder with `website: {source: DIR}`".to_owned(),
            ),
            Self::Unfit { .. } => Some("fix or remove it; `website: {source: DIR}` names another folder".to_owned()),
        }
    }
}

impl Site {
    /// Reads a folder. Names that begin with a dot are left out, but for `.well-known`.
    pub fn load(folder: &Path, index: &str) -> Result<Self, SiteError> {
        let mut found = BTreeMap::new();
        walk(folder, "", &mut found)?;
        if !found.contains_key(index) {
            return Err(unfit(folder, format!("it has no {index}")));
        }
        if let Some(path) = found.get(CONFIG) {
            return Err(unfit(path, "taskctl writes this file itself"));
        }
        let read: Vec<Read> = found
            .into_iter()
            .map(|(path, disk)| Read::of(path, disk))
            .collect::<Result<_, _>>()?;
        Ok(Self::of(read))
    }

    /// A site whose files are texts at hand: path and text.
    pub fn of_texts(files: &[(&str, &str)]) -> Self {
        let read = files.iter().map(|(path, text)| Read {
            path: (*path).to_owned(),
            sha256: Sha256::digest(text.as_bytes()).to_vec(),
            md5: md5(text),
            text: references::is_searched(path).then(|| (*text).to_owned()),
            raw: Content::Text((*text).to_owned()),
        });
        Self::of(read.collect())
    }

    fn of(read: Vec<Read>) -> Self {
        let names: BTreeSet<&str> = read.iter().map(|file| file.path.as_str()).collect();
        let references: BTreeMap<&str, Vec<references::Reference>> = read
            .iter()
            .map(|file| {
                let text = file.text.as_deref().unwrap_or_default();
                (file.path.as_str(), references::find(&file.path, text, &names))
            })
            .collect();
        let hashes: BTreeMap<&str, &[u8]> = read
            .iter()
            .map(|file| (file.path.as_str(), file.sha256.as_slice()))
            .collect();
        let hashed: BTreeMap<String, String> = references
            .values()
            .flatten()
            .map(|reference| reference.target.as_str())
            .map(|target| (target.to_owned(), hashed_name(target, &references, &hashes)))
            .collect();
        let files: Vec<File> = read
            .iter()
            .map(|file| {
                let of_file = references
                    .get(file.path.as_str())
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let (content, etag) = match (&file.text, of_file) {
                    (Some(text), [_, ..]) => {
                        let text = references::replace(text, of_file, |target| hashed.get(target).map(|key| name(key)));
                        let etag = hex(Md5::digest(text.as_bytes()));
                        (Content::Text(text), etag)
                    }
                    // What is yet to be written into it is written into its text.
                    (Some(text), []) if text.contains(API_ORIGIN) => (Content::Text(text.clone()), file.md5.clone()),
                    _ => (file.raw.clone(), file.md5.clone()),
                };
                let place = hashed
                    .get(&file.path)
                    .map_or(Place::Page, |key| Place::Hashed(key.clone()));
                File {
                    path: file.path.clone(),
                    place,
                    etag,
                    content,
                }
            })
            .collect();
        let mut hasher = Sha256::new();
        for (path, hash) in &hashes {
            hasher.update(path.as_bytes());
            hasher.update([0]);
            hasher.update(hash);
        }
        let id = hex(&hasher.finalize()[..6]);
        Self { id, files }
    }
}

impl File {
    /// The text of a page that names the API's origin, as it is published for an API; none for every other file.
    pub fn told(&self, api_url: &str) -> Option<String> {
        match &self.content {
            Content::Text(text) if self.wants_origin() => Some(text.replace(API_ORIGIN, origin(api_url))),
            Content::Text(_) | Content::AsIs(_) => None,
        }
    }

    /// Whether what is published depends on where the API is.
    pub fn wants_origin(&self) -> bool {
        let is_page = self.path.ends_with(".html") || self.path.ends_with(".htm");
        match &self.content {
            Content::Text(text) => is_page && text.contains(API_ORIGIN),
            Content::AsIs(_) => false,
        }
    }

    /// Where the file lies in the bucket while its content is kept.
    pub fn key(&self, site: &str) -> String {
        match &self.place {
            Place::Hashed(key) => key.clone(),
            Place::Page => format!("{}{}", kept(site), self.path),
        }
    }
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}

/// Prefix of the pages of a content.
pub fn kept(site: &str) -> String {
    format!("{KEPT}{site}/")
}

/// Content type by the file's name. <https://www.iana.org/assignments/media-types/media-types.xhtml>
pub fn content_type(path: &str) -> String {
    let guessed = mime_guess::from_path(path).first_or_octet_stream();
    let text = guessed.type_() == mime_guess::mime::TEXT || guessed.subtype() == mime_guess::mime::JAVASCRIPT;
    match text || guessed.subtype() == mime_guess::mime::JSON {
        true => format!("{}; charset=utf-8", guessed.essence_str()),
        false => guessed.essence_str().to_owned(),
    }
}

/// A file as it was read.
struct Read {
    path: String,
    raw: Content,
    sha256: Vec<u8>,
    md5: String,
    text: Option<String>,
}

impl Read {
    fn of(path: String, disk: PathBuf) -> Result<Self, SiteError> {
        let io = |source| SiteError::Io {
            path: disk.clone(),
            source,
        };
        let mut file = fs::File::open(&disk).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let wanted = references::is_searched(&path) && size <= LARGEST_TEXT;
        let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
        let mut kept = Vec::new();
        let mut block = vec![0; 64 * 1024];
        loop {
            let read = file.read(&mut block).map_err(io)?;
            if read == 0 {
                break;
            }
            sha256.update(&block[..read]);
            md5.update(&block[..read]);
            if wanted {
                kept.extend_from_slice(&block[..read]);
            }
        }
        let text = match wanted.then(|| String::from_utf8(kept)).transpose() {
            Ok(text) => text,
            Err(_) => {
                let why = "it is not UTF-8, which is the character set that it would be served with: save it as UTF-8";
                return Err(unfit(&disk, why.to_owned()));
            }
        };
        Ok(Self {
            path,
            sha256: sha256.finalize().to_vec(),
            md5: hex(md5.finalize()),
            text,
            raw: Content::AsIs(disk),
        })
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, PathBuf>) -> Result<(), SiteError> {
    let io = |source| SiteError::Io {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let disk = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(unfit(&disk, "its name is no UTF-8"));
        };
        if name.starts_with('.') && name != ".well-known" {
            continue;
        }
        if name.chars().any(char::is_control) {
            return Err(unfit(&disk, "its name has control characters"));
        }
        let path = format!("{prefix}{name}");
        // Not followed: a link could lead out of the folder.
        let kind = entry.file_type().map_err(io)?;
        if kind.is_dir() {
            walk(&disk, &format!("{path}/"), found)?;
        } else if kind.is_file() {
            // https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
            if path.len() > 900 {
                return Err(unfit(&disk, "its path is longer than 900 bytes"));
            }
            if found.len() == MAX_FILES {
                return Err(unfit(folder, format!("there are more than {MAX_FILES} files")));
            }
            found.insert(path, disk);
        } else {
            return Err(unfit(&disk, "it is a link or a special file"));
        }
    }
    Ok(())
}

fn unfit(path: &Path, why: impl Into<String>) -> SiteError {
    SiteError::Unfit {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// The key of a file that others refer to: its name with a hash over it and everything it refers to itself.
fn hashed_name(
    path: &str,
    references: &BTreeMap<&str, Vec<references::Reference>>,
    hashes: &BTreeMap<&str, &[u8]>,
) -> String {
    let mut reached = BTreeSet::from([path]);
    let mut open = vec![path];
    while let Some(next) = open.pop() {
        for reference in references.get(next).into_iter().flatten() {
            if reached.insert(&reference.target) {
                open.push(&reference.target);
            }
        }
    }
    let mut hasher = Sha256::new();
    hasher.update(path.as_bytes());
    for one in reached {
        hasher.update([0]);
        hasher.update(one.as_bytes());
        hasher.update(hashes.get(one).copied().unwrap_or_default());
    }
    let hash = hex(&hasher.finalize()[..HASH]);
    let directory = &path[..path.len() - name(path).len()];
    match name(path).rsplit_once('.') {
        Some((stem, extension)) => format!("{directory}{stem}.{hash}.{extension}"),
        None => format!("{path}.{hash}"),
    }
}

/// The name of a file without the hash in it; none of a key without one.
pub fn plain_name(key: &str) -> Option<String> {
    let is_hash =
        |part: &str| part.len() == 2 * HASH && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let name = name(key);
    let directory = &key[..key.len() - name.len()];
    let (before, last) = name.rsplit_once('.')?;
    match before.rsplit_once('.') {
        Some((stem, hash)) if is_hash(hash) => Some(format!("{directory}{stem}.{last}")),
        _ if is_hash(last) => Some(format!("{directory}{before}")),
        _ => None,
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Hexadecimal MD5 of a text.
pub fn md5(text: &str) -> String {
    hex(Md5::digest(text.as_bytes()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn site(files: &[(&str, &str)]) -> Site {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let disk = folder.path().join(path);
            fs::create_dir_all(disk.parent().unwrap()).unwrap();
            fs::write(disk, text).unwrap();
        }
        Site::load(folder.path(), "index.html").unwrap()
    }

    fn text<'a>(site: &'a Site, path: &str) -> &'a str {
        match &site.files.iter().find(|file| file.path == path).unwrap().content {
            Content::Text(text) => text,
            Content::AsIs(path) => panic!("{} was not rewritten", path.display()),
        }
    }

    fn key(site: &Site, path: &str) -> Option<String> {
        match &site.files.iter().find(|file| file.path == path).unwrap().place {
            Place::Hashed(key) => Some(key.clone()),
            Place::Page => None,
        }
    }

    const PAGE: &str =
        r#"<link rel="stylesheet" href="css/a.css"><script src='./app.js'></script><a href="more.html">"#;

    #[test]
    fn what_a_page_refers_to_is_named_by_its_content() {
        let files = [
            ("index.html", PAGE),
            ("more.html", "<img src=/css/dot.svg>"),
            ("css/a.css", "body { background: url( \"dot.svg\" ) }"),
            ("css/dot.svg", "<svg/>"),
            ("app.js", "import { b } from './b.js'; fetch('config.json')"),
            ("b.js", "export const b = 1"),
            ("robots.txt", "User-agent: *"),
        ];
        let first = site(&files);
        let css = key(&first, "css/a.css").unwrap();
        assert!(
            text(&first, "index.html").contains(&format!("href=\"{css}\"")),
            "{first:?}"
        );
        let dot = key(&first, "css/dot.svg").unwrap();
        assert!(text(&first, "css/a.css").contains(name(&dot)));
        assert!(text(&first, "app.js").contains(name(&key(&first, "b.js").unwrap())));
        assert_eq!((key(&first, "robots.txt"), key(&first, "more.html")), (None, None));

        let mut changed = files;
        changed[5].1 = "export const b = 2";
        let second = site(&changed);
        assert_ne!(first.id, second.id);
        // What refers to the changed file has another name too, and the rest keeps its own.
        assert_ne!(key(&first, "app.js"), key(&second, "app.js"));
        assert_eq!(key(&first, "css/a.css"), key(&second, "css/a.css"));
    }

    #[test]
    fn a_page_may_connect_to_the_api_and_nowhere_else() {
        let csp = |sources: &str| format!("<meta content=\"connect-src 'self' {sources}\"><p>");
        let (page, script) = (csp(API_ORIGIN), format!("const scheme = '{API_ORIGIN}'"));
        let site = site(&[("index.html", &page), ("app.js", &script), ("more.html", "<p>")]);
        let file = |path: &str| site.files.iter().find(|file| file.path == path).unwrap();
        for (api, origin) in [
            (
                "https://a1.execute-api.eu-central-1.amazonaws.com",
                "https://a1.execute-api.eu-central-1.amazonaws.com",
            ),
            ("http://127.0.0.1:4566/apis/a1/", "http://127.0.0.1:4566"),
        ] {
            assert_eq!(file("index.html").told(api), Some(csp(origin)));
        }
        assert_eq!(
            (file("app.js").told("https://a"), file("more.html").told("https://a")),
            (None, None)
        );
    }

    /// What bundlers write: some references are found, the rest relies on plain names.
    #[test]
    fn every_file_of_a_bundler_has_its_plain_name() {
        let vite = [
            (
                "index.html",
                "<script type=\"module\" crossorigin src=\"/assets/index-DiwrgTda.js\"></script>\n<link rel=\"modulepreload\" \
                 href=\"/assets/vendor-Bd1cTq0a.js\"><link rel=\"stylesheet\" href=\"/assets/index-n_ryQ3BS.css\">\n<img \
                 src=\"/logo.png\" srcset=\"/logo.png 1x, /logo@2x.png 2x\">",
            ),
            (
                "assets/index-DiwrgTda.js",
                "const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=[\"assets/Page-C1.js\",\"assets/Page-C2.css\"])))=>i.map(i=>d[i]);\
                 import{v}from\"./vendor-Bd1cTq0a.js\";import(\"./Page-C1.js\")",
            ),
            ("assets/vendor-Bd1cTq0a.js", "export const v=1"),
            ("assets/Page-C1.js", "export default 1"),
            ("assets/Page-C2.css", ".a{background:url(/assets/dot-A.svg)}"),
            ("assets/dot-A.svg", "<svg/>"),
            ("assets/index-n_ryQ3BS.css", "body{}"),
            ("logo.png", "1"),
            ("logo@2x.png", "2"),
        ];
        let webpack = [
            (
                "index.html",
                "<script defer src=\"main.8f2c1d0e.js\"></script><link rel=\"manifest\" href=\"manifest.json\">",
            ),
            (
                "main.8f2c1d0e.js",
                "r.u=e=>e+\".\"+{17:\"ab12\"}[e]+\".chunk.js\";r.p=\"\";navigator.serviceWorker.register(\"/service-worker.js\")",
            ),
            (
                "17.ab12.chunk.js",
                "(self.webpackChunk=self.webpackChunk||[]).push([[17]])",
            ),
            ("manifest.json", "{\"icons\":[{\"src\":\"icon-192.png\"}]}"),
            ("icon-192.png", "1"),
            ("service-worker.js", "importScripts('main.8f2c1d0e.js')"),
        ];
        let parcel = [
            (
                "index.html",
                "<link rel=\"icon\" href=\"favicon.ico\"><script type=\"module\">import{a}from\"./index.1a2b3c4d.js\"</script><style>body{\
                 background:url(bg.abcd.png)}</style>",
            ),
            ("index.1a2b3c4d.js", "export const a=1"),
            ("bg.abcd.png", "1"),
            ("favicon.ico", "1"),
        ];
        for files in [&vite[..], &webpack, &parcel] {
            let site = site(files);
            for file in &site.files {
                let users_see = match &file.place {
                    Place::Page => Some(file.path.clone()),
                    Place::Hashed(key) => plain_name(key),
                };
                assert_eq!(users_see.as_deref(), Some(file.path.as_str()));
            }
        }
    }

    #[test]
    fn plain_names_are_those_before_the_hash() {
        let plain = |key: &str| plain_name(key);
        assert_eq!(plain("js/app.0123456789.js").as_deref(), Some("js/app.js"));
        assert_eq!(plain("a/LICENSE.0123456789").as_deref(), Some("a/LICENSE"));
        assert_eq!(plain("a.min.0123456789.js").as_deref(), Some("a.min.js"));
        assert_eq!(
            (plain("app.js"), plain("app.8f2c1d0e.js"), plain("a.0123456789/b.js")),
            (None, None, None)
        );
    }

    #[test]
    fn files_that_refer_to_each_other() {
        let site = site(&[
            ("index.html", "<script src=\"a.js\">"),
            ("a.js", "import './b.js'"),
            ("b.js", "import './a.js'"),
        ]);
        assert!(text(&site, "b.js").contains(&key(&site, "a.js").unwrap()));
    }

    #[test]
    fn the_etag_is_that_of_what_is_published() {
        let site = site(&[("index.html", "<script src=\"a.js\">"), ("a.js", "")]);
        let file = site.files.iter().find(|file| file.path == "index.html").unwrap();
        assert_eq!(file.etag, md5(text(&site, "index.html")));
    }

    #[test]
    fn what_could_lead_out_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.html"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("secret.txt")).unwrap();
        let refused = Site::load(folder.path(), "index.html").unwrap_err();
        assert!(refused.to_string().contains("link"), "{refused}");
        let empty = tempfile::tempdir().unwrap();
        fs::write(empty.path().join(".env"), "SECRET=1").unwrap();
        assert!(Site::load(empty.path(), "index.html").is_err());
        fs::write(empty.path().join("index.html"), "").unwrap();
        assert_eq!(Site::load(empty.path(), "index.html").unwrap().files.len(), 1);
    }

    #[test]
    fn pages_of_other_character_sets_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let page = |bytes: &[u8]| {
            fs::write(folder.path().join("index.html"), bytes).unwrap();
            Site::load(folder.path(), "index.html")
        };
        for good in [
            &b"<p>plain</p>"[..],
            "<p>gr\u{fc}n</p>".as_bytes(),
            b"\xef\xbb\xbf<p>with a mark</p>",
        ] {
            page(good).unwrap();
        }
        // ISO-8859-1, UTF-16, Shift_JIS.
        for other in [&b"<p>gr\xfcn</p>"[..], b"\xff\xfe<\0p\0>\0", b"<p>\x93\xfa\x96{</p>"] {
            let error = page(other).unwrap_err().to_string();
            assert!(
                error.contains("index.html") && error.contains("it is not UTF-8"),
                "{error}"
            );
        }
        // What is no text is published as it is.
        page(b"<p></p>").unwrap();
        fs::write(folder.path().join("photo.jpg"), b"\xff\xd8\xff").unwrap();
        Site::load(folder.path(), "index.html").unwrap();
    }

    #[test]
    fn browsers_are_told_what_a_file_is() {
        assert_eq!(content_type("index.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("app.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("logo.svg"), "image/svg+xml");
        assert_eq!(content_type("data"), "application/octet-stream");
    }
}
