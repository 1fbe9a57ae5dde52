//! An e-mail address, compared without regard to case.

use std::fmt;

use crate::http::Failure;

/// Longest address: <https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3>, less the angle brackets.
const LONGEST: usize = 254;
/// Longest part before the `@`.
const LONGEST_LOCAL: usize = 64;

/// An address in lower case. Its `Debug` does not show it: addresses do not belong in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads and checks an address.
    pub fn read(text: &str) -> Result<Self, Failure> {
        let text = text.trim().to_lowercase();
        if is_address(&text) {
            Ok(Self(text))
        } else {
            Err(Failure::field("email", "must be an e-mail address"))
        }
    }

    /// As the table holds it.
    pub(super) fn stored(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// The address in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Key of the item that reserves it.
    pub fn reservation_key(&self) -> String {
        format!("email#{}", self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

/// `local@domain`: a dot-atom before the `@` (letters of any script), a host name with a dot after it.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c))
    };
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= LONGEST
        && local.len() <= LONGEST_LOCAL
        && local.split('.').all(atom)
        && domain.contains('.')
        && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "a@b.co",
            "First.Last+tag@Sub.Example.COM",
            "o'neil@example.org",
            " x@example.com ",
            "jörg@exämple.de",
            "a_b@c-d.e9",
        ] {
            assert!(Email::read(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "b".repeat(64));
        for bad in [
            "",
            "a",
            "@b.co",
            "a@",
            "a@b",
            "a b@c.de",
            "a@b..co",
            ".a@b.co",
            "a.@b.co",
            "a@-b.co",
            "a@b-.co",
            "a@b@c.de",
            "<a@b.co>",
            "a@b.co\n.x",
            "a,b@c.de",
            &long,
            &longer,
        ] {
            assert!(Email::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn case_does_not_count() {
        assert_eq!(Email::read("Ann@Example.com").ok(), Email::read("ANN@eXAMPLE.com").ok());
    }

    #[test]
    fn it_does_not_show_itself() {
        assert_eq!(format!("{:?}", Email::stored("ann@example.com")), "Email(…)");
    }
}
