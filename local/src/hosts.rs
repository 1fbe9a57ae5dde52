//! The names by which this machine is called by itself. A page whose name was made to point at 127.0.0.1 (DNS rebinding) says
//! another one. Pure.

/// Default port of the websites.
pub const DEFAULT_WEBSITE_PORT: u16 = 1580;

/// Whether a `Host` header, or the authority of a URL, names this machine: `127.0.0.1`, `localhost` or a name below `localhost`,
/// with any port, so that relays in front keep theirs.
pub(crate) fn is_own(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return false,
        None => host,
    };
    let name = name.to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name == "127.0.0.1" || name.rsplit('.').next() == Some("localhost") && name.split('.').all(is_label)
}

/// The origin that pages of an allowed one have here: web sites of the local target are served on its port, whichever the template
/// names. `None` for an origin that is no web site's.
pub(crate) fn website_origin(allowed: &str, website_port: u16) -> Option<String> {
    let (name, port) = allowed.strip_prefix("http://")?.rsplit_once(':')?;
    let is_website = match name {
        "localhost" | "127.0.0.1" => port == DEFAULT_WEBSITE_PORT.to_string(),
        _ => name.ends_with(".localhost") && is_own(name),
    };
    is_website.then(|| format!("http://{name}:{website_port}"))
}

/// Whether a request names this machine, everywhere where it names one.
pub(crate) fn names_own(uri: &http::Uri, headers: &http::HeaderMap) -> Result<(), String> {
    let mut hosts = headers.get_all(http::header::HOST).iter();
    let (first, more) = (hosts.next(), hosts.next());
    let text = first.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if more.is_some() || !is_own(text) {
        return Err(text.to_owned());
    }
    match uri.authority() {
        Some(authority) if !is_own(authority.as_str()) => Err(authority.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_the_port_of_the_websites() {
        let at = |origin: &str| website_origin(origin, 1590);
        assert_eq!(at("http://localhost:1580").as_deref(), Some("http://localhost:1590"));
        assert_eq!(at("http://127.0.0.1:1580").as_deref(), Some("http://127.0.0.1:1590"));
        assert_eq!(
            at("http://shop-dev-site.localhost:1570").as_deref(),
            Some("http://shop-dev-site.localhost:1590")
        );
        for other in [
            "*",
            "http://localhost:3000",
            "https://localhost:1580",
            "http://example.com:1580",
            "http://*.localhost:1580",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_this_machine() {
        for own in [
            "127.0.0.1",
            "127.0.0.1:4580",
            "localhost",
            "LocalHost:1",
            "shop-dev-site.localhost:1580",
            "a.b.localhost",
            "bucket.s3.localhost:4580",
        ] {
            assert!(is_own(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:4580",
            "localhost.evil.example",
            "evil-localhost",
            "127.0.0.1.evil.example",
            "127.0.0.1.localhost.evil.example:80",
            ".localhost",
            "a..localhost",
            "localhost.",
            "localhost:4580@evil.example",
            "evil.example/.localhost",
            "0.0.0.0",
            "192.168.0.1:4580",
            "[::1]:4580",
            "127.0.0.2",
        ] {
            assert!(!is_own(foreign), "{foreign}");
        }
    }
}
