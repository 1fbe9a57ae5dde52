//! The zip of a function: one file, `bootstrap`, at the root. The same bytes in give the same bytes out, on every
//! machine and at every time.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>

use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

/// The largest zip sent in the call itself; above, it goes through a bucket. Lambda takes 50 MB there, and the call's own
/// limit counts what base64 adds.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const DIRECT_UPLOAD_LIMIT: u64 = 45 * 1024 * 1024;
/// The largest unzipped package.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const UNZIPPED_LIMIT: u64 = 250 * 1024 * 1024;

/// Raised whenever [`zip()`] gives other bytes for the same executable, so that cached zips are made again.
pub const FORMAT: u32 = 1;

/// How hard the executable is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// For Lambda, which takes small packages sooner. Level 9 saves under 1 % more and takes three times as long.
    Small,
    /// For this machine, where only the time counts.
    Quick,
}

impl Effort {
    /// deflate's level.
    const fn level(self) -> i64 {
        match self {
            Self::Small => 6,
            Self::Quick => 1,
        }
    }
}

/// The name that Lambda starts.
const BOOTSTRAP: &str = "bootstrap";

/// Makes the zip.
pub fn zip(executable: &[u8], effort: Effort) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::with_capacity(executable.len() / 2)));
    writer.start_file(BOOTSTRAP, options(effort, true))?;
    writer.write_all(executable)?;
    Ok(writer.finish()?.into_inner())
}

/// Makes a zip of files: names, contents, and whether they may be executed.
pub fn zip_all(files: &[(String, Vec<u8>, bool)], effort: Effort) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, is_executable) in files {
        writer.start_file(name.as_str(), options(effort, *is_executable))?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

fn options(effort: Effort, is_executable: bool) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(effort.level()))
        .last_modified_time(DateTime::default())
        .unix_permissions(if is_executable { 0o755 } else { 0o644 })
        .system(System::Unix)
}

/// `CodeSha256` of a zip.
pub fn code_sha256(zip: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(zip))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Read as _;

    /// Something of the size and texture of an executable: runs, repeats and noise, the same everywhere.
    fn executable() -> Vec<u8> {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut bytes = b"\x7fELF".to_vec();
        for block in 0..2_000_u64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
            bytes.extend(std::iter::repeat_n(0, usize::try_from(block % 17).unwrap()));
            bytes.extend(b"core::panicking::panic_fmt");
        }
        bytes
    }

    /// The golden hash: it changes when anything changes the bytes, a new version of the zip or deflate library too.
    /// Every function's code would then count as changed: raise [`FORMAT`] and say so in the changelog.
    #[test]
    fn the_same_executable_gives_the_same_bytes() {
        let first = zip(&executable(), Effort::Small).unwrap();
        assert_eq!(first, zip(&executable(), Effort::Small).unwrap());
        insta::assert_snapshot!(format!("{} bytes, {}", first.len(), code_sha256(&first)), @"22360 bytes, ZtgIuBGAMgDjHEQQVdu0A3A5+CWCQNgUyPNep6/sXUE=");
    }

    #[test]
    fn bootstrap_is_at_the_root_and_may_be_executed() {
        let bytes = zip(&executable(), Effort::Small).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        assert_eq!(archive.len(), 1);
        let mut file = archive.by_index(0).unwrap();
        assert_eq!(file.name().unwrap(), "bootstrap");
        assert_eq!(file.unix_mode(), Some(0o100_755));
        assert_eq!(file.last_modified(), Some(DateTime::default()));
        assert!(file.extra_data().is_none_or(|extra| extra.is_empty()));
        let mut unpacked = Vec::new();
        file.read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, executable());
        // "version made by" of the one central directory entry: its upper byte says Unix.
        let entry = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        assert_eq!(bytes[entry + 5], 3);
    }

    #[test]
    fn hashes_have_the_form_that_aws_shows() {
        assert_eq!(code_sha256(b""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
