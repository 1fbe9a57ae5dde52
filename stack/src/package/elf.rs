//! What an executable is and what it needs, read from its ELF headers: machine, interpreter, libraries, the newest
//! glibc symbol. Of a macOS program, which runs on such a machine only, the machine alone is read. Pure: bytes in, facts
//! or the reason for refusal out.

use std::fmt;
use std::str::FromStr;

use object::Endianness;
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, SectionTable};
use serde::{Deserialize, Serialize};

use crate::template::model::Architecture;

/// glibc of the `provided.al2023` runtime.
/// <https://docs.aws.amazon.com/linux/al2023/ug/glibc-gcc-and-binutils.html>
pub const RUNTIME_GLIBC: Glibc = Glibc { major: 2, minor: 34 };

/// Libraries that come with glibc and gcc, present in the runtime.
const KNOWN_LIBRARIES: [&str; 8] = [
    "libc.so",
    "libm.so",
    "libgcc_s.so",
    "libdl.so",
    "libpthread.so",
    "librt.so",
    "libutil.so",
    "ld-linux",
];

/// A version of glibc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc {
    /// Major, always 2.
    pub major: u32,
    /// Minor.
    pub minor: u32,
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Glibc {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a glibc version");
        // Three-part versions exist for old symbols only (2.2.5); their last part decides nothing here.
        let mut parts = text.split('.').map(|part| part.parse().map_err(|_| wrong()));
        let major = parts.next().ok_or_else(wrong)??;
        let minor = parts.next().ok_or_else(wrong)??;
        Ok(Self { major, minor })
    }
}

impl Serialize for Glibc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glibc {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What is known of an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// Its machine.
    pub architecture: Architecture,
    /// The program that loads it; none when it is statically linked.
    pub interpreter: Option<String>,
    /// The newest glibc a strong symbol asks for.
    pub glibc: Option<Glibc>,
    /// Libraries it needs that the runtime may not have.
    pub unknown_libraries: Vec<String>,
}

/// First bytes of a 64-bit Mach-O file, and its numbers of machines, which follow.
/// <https://github.com/apple-oss-distributions/xnu/blob/main/EXTERNAL_HEADERS/mach-o/loader.h>
const MACH_O: [u8; 4] = 0xfeed_facf_u32.to_le_bytes();
const MACH_X86_64: u32 = 0x0100_0007;
const MACH_ARM64: u32 = 0x0100_000c;
/// What loads programs on macOS.
const MACH_LOADER: &str = "/usr/lib/dyld";

/// Reads an executable. The error says why it is none that can be started, on Lambda or on this machine.
pub fn inspect(bytes: &[u8]) -> Result<Executable, String> {
    if bytes.starts_with(b"#!") {
        return Err("it is a script, not a program".to_owned());
    }
    if let Some(rest) = bytes.strip_prefix(&MACH_O) {
        return mach_o(rest);
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err("it is not an ELF file".to_owned());
    }
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(|_| "it is not a 64-bit ELF file".to_owned())?;
    let damaged = |error: object::read::Error| format!("it is damaged ({error})");
    let endian = header.endian().map_err(damaged)?;
    let architecture = match header.e_machine(endian) {
        elf::EM_X86_64 => Architecture::X86_64,
        elf::EM_AARCH64 => Architecture::Arm64,
        other => {
            return Err(format!(
                "its machine is ELF number {}, neither x86_64 nor arm64",
                other.0
            ));
        }
    };
    match header.e_type(endian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        _ => return Err("it is an object file, not a program".to_owned()),
    }
    let mut interpreter = None;
    let mut has_code = false;
    for segment in header.program_headers(endian, bytes).map_err(damaged)? {
        has_code |= segment.p_type(endian) == elf::PT_LOAD;
        if let Some(found) = segment.interpreter(endian, bytes).map_err(damaged)? {
            interpreter = Some(String::from_utf8_lossy(found).into_owned());
        }
    }
    if !has_code {
        return Err("it has nothing to load".to_owned());
    }
    let sections = header.sections(endian, bytes).map_err(damaged)?;
    Ok(Executable {
        architecture,
        interpreter,
        glibc: newest_glibc(&sections, endian, bytes).map_err(damaged)?,
        unknown_libraries: unknown_libraries(&sections, endian, bytes).map_err(damaged)?,
    })
}

/// What follows the first bytes of a Mach-O file.
fn mach_o(rest: &[u8]) -> Result<Executable, String> {
    let architecture = match rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) {
        Some(MACH_X86_64) => Architecture::X86_64,
        Some(MACH_ARM64) => Architecture::Arm64,
        Some(other) => {
            return Err(format!(
                "its machine is Mach-O number {other}, neither x86_64 nor arm64"
            ));
        }
        None => return Err("it is damaged (it ends in its header)".to_owned()),
    };
    Ok(Executable {
        architecture,
        interpreter: Some(MACH_LOADER.to_owned()),
        glibc: None,
        unknown_libraries: Vec::new(),
    })
}

/// Whether the runtime's own loader can load a program of that interpreter. The error says why not.
pub fn check_interpreter(architecture: Architecture, interpreter: Option<&str>) -> Result<(), String> {
    let expected = match architecture {
        Architecture::X86_64 => "/lib64/ld-linux-x86-64.so.2",
        Architecture::Arm64 => "/lib/ld-linux-aarch64.so.1",
    };
    match interpreter {
        None => Ok(()),
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(format!(
            "it is loaded by {found}, which the runtime lacks (it has {expected})"
        )),
    }
}

type Sections<'data> = SectionTable<'data, elf::FileHeader64<Endianness>, &'data [u8]>;

fn newest_glibc(sections: &Sections<'_>, endian: Endianness, bytes: &[u8]) -> object::read::Result<Option<Glibc>> {
    let mut newest = None;
    let Some((mut needs, link)) = sections.gnu_verneed(endian, bytes)? else {
        return Ok(None);
    };
    let strings = sections.strings(endian, bytes, link)?;
    while let Some((_, mut versions)) = needs.next()? {
        while let Some(version) = versions.next()? {
            // A weak need may stay unmet; the program then looks for another way.
            if version.vna_flags.get(endian).contains(elf::VER_FLG_WEAK) {
                continue;
            }
            let name = String::from_utf8_lossy(version.name(endian, strings)?).into_owned();
            let glibc = name
                .strip_prefix("GLIBC_")
                .and_then(|version| version.parse::<Glibc>().ok());
            newest = newest.max(glibc);
        }
    }
    Ok(newest)
}

fn unknown_libraries(sections: &Sections<'_>, endian: Endianness, bytes: &[u8]) -> object::read::Result<Vec<String>> {
    let mut unknown = Vec::new();
    for section in sections.iter() {
        let Some((entries, link)) = section.dynamic(endian, bytes)? else {
            continue;
        };
        let strings = sections.strings(endian, bytes, link)?;
        for entry in entries.iter().filter(|entry| entry.tag(endian) == elf::DT_NEEDED) {
            let name = String::from_utf8_lossy(entry.string(endian, strings)?).into_owned();
            if !KNOWN_LIBRARIES.iter().any(|known| name.starts_with(known)) {
                unknown.push(name);
            }
        }
    }
    Ok(unknown)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_an_executable() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found = inspect(&bytes).unwrap();
        let expected = if cfg!(target_arch = "aarch64") {
            Architecture::Arm64
        } else {
            Architecture::X86_64
        };
        assert_eq!(found.architecture, expected);
        assert_eq!(
            check_interpreter(found.architecture, found.interpreter.as_deref()),
            Ok(())
        );
        assert!(
            found.glibc.is_some_and(|glibc| glibc.major == 2 && glibc.minor > 4),
            "{found:?}"
        );
        assert_eq!(found.unknown_libraries, Vec::<String>::new());
    }

    #[test]
    fn what_is_no_executable_is_refused_with_the_reason() {
        fn check(bytes: &[u8], expected: &str) {
            assert_eq!(inspect(bytes).unwrap_err(), expected);
        }
        check(b"", "it is not an ELF file");
        check(b"#!/bin/sh\necho", "it is a script, not a program");
        check(b"MZ\x90\x00", "it is not an ELF file");
        check(b"\x7fELF\x01\x01\x01", "it is not a 64-bit ELF file");
    }

    #[test]
    fn a_program_of_macos_runs_there_only() {
        let header = |machine: u32| [MACH_O.as_slice(), &machine.to_le_bytes(), &[0; 24]].concat();
        let found = inspect(&header(MACH_ARM64)).unwrap();
        assert_eq!(found.architecture, Architecture::Arm64);
        assert_eq!(
            inspect(&header(MACH_X86_64)).unwrap().architecture,
            Architecture::X86_64
        );
        let refused = check_interpreter(found.architecture, found.interpreter.as_deref()).unwrap_err();
        assert!(refused.contains("/usr/lib/dyld"), "{refused}");
        assert!(inspect(&header(7)).unwrap_err().contains("neither x86_64 nor arm64"));
        assert!(inspect(&MACH_O).unwrap_err().contains("damaged"));
    }

    /// Every prefix and every damaged header byte ends in an answer, never in a panic.
    #[test]
    fn a_damaged_executable_is_survived() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in (0..4_096).chain([whole.len() / 2, whole.len() - 1]) {
            let _ = inspect(&whole[..length]);
        }
        let mut damaged = whole;
        for at in 0..64 {
            for value in [0, 1, 0x7f, 0xff] {
                let before = std::mem::replace(&mut damaged[at], value);
                let _ = inspect(&damaged);
                damaged[at] = before;
            }
        }
    }

    #[test]
    fn a_foreign_machine_is_named() {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        bytes[18..20].copy_from_slice(&243_u16.to_le_bytes());
        assert_eq!(
            inspect(&bytes).unwrap_err(),
            "its machine is ELF number 243, neither x86_64 nor arm64"
        );
        bytes[18..20].copy_from_slice(&183_u16.to_le_bytes());
        assert_eq!(inspect(&bytes).unwrap().architecture, Architecture::Arm64);
    }

    #[test]
    fn glibc_versions_are_ordered_by_number() {
        let parse = |text: &str| text.parse::<Glibc>().unwrap();
        assert!(parse("2.4") < parse("2.34"));
        assert!(parse("2.36") > RUNTIME_GLIBC);
        assert_eq!(parse("2.2.5").to_string(), "2.2");
        assert!("PRIVATE".parse::<Glibc>().is_err());
    }
}
