//! The body of a signed request: its encoding, and whether it is the signed one.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use ::http::header::{self, HeaderName, HeaderValue};
use ::http::request::Parts;
use aws_smithy_checksums::ChecksumAlgorithm;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::refusal::Refusal;
use super::signature::{ChunkSigner, Claim, Form};
use crate::protocol::classify::{header_text, query_parameter};
use crate::protocol::http::{Body, ReadError, collect, full};

/// Largest object that one request puts.
const LARGEST_OBJECT: usize = 5 * 1024 * 1024 * 1024;
/// Largest body of any other request: a zip of 50 MB in base64, and room.
const LARGEST_BODY: usize = 80 * 1024 * 1024;
const CONTENT_SHA256: &str = "x-amz-content-sha256";
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const TRAILER: &str = "x-amz-trailer";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// How a client sends a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Its hash is signed, and in a header.
    Hashed(String),
    /// Its hash is signed, and not in the request.
    Implied,
    /// It is not signed.
    Unsigned,
    /// In chunks that say how long they are.
    Chunked(Chunks),
}

/// How chunks are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Each is signed.
    Signed,
    /// Each is signed, and so are headers after the last.
    SignedTrailer,
    /// None is signed; headers after the last have a checksum.
    UnsignedTrailer,
}

impl Chunks {
    fn name(self) -> &'static str {
        match self {
            Self::Signed => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Self::SignedTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            Self::UnsignedTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }
}

impl Encoding {
    /// Says how the body of a request is sent.
    pub(super) fn of(parts: &Parts, claim: &Claim) -> Result<Self, Refusal> {
        let is_s3 = claim.service == "s3" || claim.service == "s3express";
        let query = parts.uri.query().unwrap_or_default();
        let given = match header_text(&parts.headers, CONTENT_SHA256) {
            Some(given) => Some(given.to_owned()),
            None => query_parameter(query, "X-Amz-Content-Sha256"),
        };
        let chunked = [Chunks::Signed, Chunks::SignedTrailer, Chunks::UnsignedTrailer];
        let Some(given) = given else {
            return match claim.form {
                Form::Presigned { .. } if is_s3 => Ok(Self::Unsigned),
                Form::Presigned { .. } | Form::Header => Ok(Self::Implied),
            };
        };
        if given.len() == 64 && given.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Hashed(given));
        }
        match chunked.into_iter().find(|chunks| chunks.name() == given) {
            _ if !is_s3 => Err(Refusal::unsupported(&format!(
                "a body of the form {given} for {}",
                claim.service
            ))),
            Some(chunks) => Ok(Self::Chunked(chunks)),
            None if given == UNSIGNED => Ok(Self::Unsigned),
            None => Err(Refusal::unsupported(&format!("a body of the form {given}"))),
        }
    }
}

/// Checks the signature of a request and its body. Returns the body as it is meant: without chunks, whole where it is signed.
pub(super) async fn check(parts: &mut Parts, claim: &Claim, secret: &str, body: Body) -> Result<Body, Refusal> {
    let limit = match claim.service.as_str() {
        "s3" | "s3express" => LARGEST_OBJECT,
        _ => LARGEST_BODY,
    };
    match Encoding::of(parts, claim)? {
        Encoding::Unsigned => {
            claim.verify(parts, secret, UNSIGNED)?;
            Ok(body)
        }
        Encoding::Hashed(hash) => {
            claim.verify(parts, secret, &hash)?;
            let bytes = read(body, limit).await?;
            match hex(&bytes).eq_ignore_ascii_case(&hash) {
                true => Ok(full(bytes)),
                false => Err(Refusal::OtherBody),
            }
        }
        Encoding::Implied => {
            let bytes = read(body, limit).await?;
            claim.verify(parts, secret, &hex(&bytes))?;
            Ok(full(bytes))
        }
        Encoding::Chunked(chunks) => {
            claim.verify(parts, secret, chunks.name())?;
            let bytes = read(body, limit).await?;
            let decoded = decode(
                parts,
                chunks,
                bytes,
                &ChunkSigner::new(claim, secret),
                claim.signature(),
            )?;
            let plain = plain_headers(parts, &decoded);
            plain.ok_or_else(|| Refusal::malformed("its trailing headers cannot be read"))?;
            Ok(full(decoded.body))
        }
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    collect(body, limit).await.map_err(|error| match error {
        ReadError::TooLarge { limit } => Refusal::TooLarge { limit },
        ReadError::Broken(_) => Refusal::malformed("its body ends early"),
    })
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A body without its chunks.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    body: Bytes,
    trailer: Vec<(String, String)>,
}

/// Decodes a chunked body, and checks the signatures of its chunks.
fn decode(
    parts: &Parts,
    chunks: Chunks,
    mut rest: Bytes,
    signer: &ChunkSigner<'_>,
    seed: &str,
) -> Result<Decoded, Refusal> {
    let broken = || Refusal::malformed("its chunks cannot be read");
    let same = |expected: Option<String>, given: &str| match expected {
        Some(expected) if bool::from(expected.as_bytes().ct_eq(given.as_bytes())) => Ok(()),
        _ => Err(Refusal::OtherBody),
    };
    let mut whole = BytesMut::new();
    let mut previous = seed.to_owned();
    loop {
        let line = take_line(&mut rest).ok_or_else(broken)?;
        let (length, signature) = match line.split_once(';') {
            Some((length, extension)) => (length, extension.strip_prefix("chunk-signature=")),
            None => (&*line, None),
        };
        let length = usize::from_str_radix(length, 16).map_err(|_| broken())?;
        if rest.len() < length {
            return Err(broken());
        }
        let chunk = rest.split_to(length);
        if chunks != Chunks::UnsignedTrailer {
            let given = signature.ok_or_else(broken)?;
            same(signer.chunk(&chunk, &previous), given)?;
            previous = given.to_owned();
        }
        if length == 0 {
            break;
        }
        whole.extend_from_slice(&chunk);
        if !rest.starts_with(b"\r\n") {
            return Err(broken());
        }
        rest.advance(2);
    }
    let mut trailer = take_trailer(&mut rest).ok_or_else(broken)?;
    if chunks == Chunks::SignedTrailer {
        let place = trailer.iter().position(|(name, _)| name == "x-amz-trailer-signature");
        let (_, given) = trailer.remove(place.ok_or_else(broken)?);
        same(signer.trailer(&trailer, &previous), &given)?;
    }
    let body = whole.freeze();
    let declared = header_text(&parts.headers, DECODED_LENGTH).and_then(|text| text.parse::<usize>().ok());
    if declared != Some(body.len()) {
        return Err(Refusal::malformed(
            "x-amz-decoded-content-length is not the length of its body",
        ));
    }
    announced(parts, chunks, &trailer)?;
    for (name, value) in &trailer {
        check_sum(name, value, &body)?;
    }
    Ok(Decoded { body, trailer })
}

/// Trailing headers are those that are announced.
fn announced(parts: &Parts, chunks: Chunks, trailer: &[(String, String)]) -> Result<(), Refusal> {
    let announced = header_text(&parts.headers, TRAILER).unwrap_or_default();
    let mut announced: Vec<String> = announced
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    announced.retain(|name| !name.is_empty());
    let there: Vec<&String> = trailer.iter().map(|(name, _)| name).collect();
    let same = announced.len() == there.len() && announced.iter().all(|name| there.contains(&name));
    // An unsigned body needs a checksum.
    let missing = chunks == Chunks::UnsignedTrailer && there.is_empty();
    match same && !missing {
        true => Ok(()),
        false => Err(Refusal::malformed(
            "its trailing headers are not those that x-amz-trailer names",
        )),
    }
}

fn check_sum(name: &str, value: &str, body: &Bytes) -> Result<(), Refusal> {
    let algorithm = name.strip_prefix("x-amz-checksum-");
    let algorithm = algorithm.and_then(|name| name.parse::<ChecksumAlgorithm>().ok());
    let algorithm = algorithm.ok_or_else(|| Refusal::unsupported(&format!("the trailing header {name}")))?;
    let mut sum = algorithm.into_impl();
    sum.update(body);
    match BASE64.encode(sum.finalize()) == value {
        true => Ok(()),
        false => Err(Refusal::OtherBody),
    }
}

/// The next line, without its end.
fn take_line(rest: &mut Bytes) -> Option<String> {
    let end = rest.windows(2).take(1024).position(|pair| pair == b"\r\n")?;
    let line = rest.split_to(end);
    rest.advance(2);
    String::from_utf8(line.to_vec()).ok()
}

/// The lines after the last chunk, as headers.
fn take_trailer(rest: &mut Bytes) -> Option<Vec<(String, String)>> {
    let mut trailer = Vec::new();
    while !rest.is_empty() {
        let line = take_line(rest)?;
        if line.trim().is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':')?;
        trailer.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(trailer)
}

/// Makes the headers those of a body without chunks.
fn plain_headers(parts: &mut Parts, decoded: &Decoded) -> Option<()> {
    let headers = &mut parts.headers;
    for name in [DECODED_LENGTH, TRAILER, CONTENT_SHA256] {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(decoded.body.len()));
    let encodings: Vec<String> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|encoding| encoding.trim().to_owned())
        .filter(|encoding| !encoding.is_empty() && encoding != "aws-chunked")
        .collect();
    match encodings.is_empty() {
        true => headers.remove(header::CONTENT_ENCODING),
        false => headers.insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_str(&encodings.join(", ")).ok()?,
        ),
    };
    for (name, value) in &decoded.trailer {
        headers.insert(
            HeaderName::try_from(name.as_str()).ok()?,
            HeaderValue::from_str(value).ok()?,
        );
    }
    Some(())
}
