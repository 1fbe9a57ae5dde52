//! Signatures that AWS publishes, and variations that must be refused.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::time::{Duration, SystemTime};

use ::http::Request;
use ::http::request::Parts;
use bytes::Bytes;

use super::payload;
use super::refusal::Refusal;
use super::signature::Claim;
use crate::protocol::http::{collect, full};

/// The secret of the examples of IAM, and of those of S3.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// A request of AWS's test suite: its headers and the signing key.
fn suite(method: &str, path: &str, headers: &[(&str, &str)], signed: &str, signature: &str) -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, Signature={signature}"
    );
    let mut all = vec![
        ("host", "example.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
        ("authorization", &authorization),
    ];
    all.extend(headers);
    parts(method, path, &all)
}

fn s3(method: &str, path: &str, headers: &[(&str, &str)], signed: &str, signature: &str) -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},Signature={signature}"
    );
    let mut all = vec![("x-amz-date", "20130524T000000Z"), ("authorization", &authorization)];
    all.extend(headers);
    parts(method, path, &all)
}

fn checked(mut parts: Parts, secret: &str, body: impl Into<Bytes>) -> Result<(Parts, Bytes), Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let claim = Claim::read(&parts)?;
    runtime.block_on(async {
        let body = payload::check(&mut parts, &claim, secret, full(body)).await?;
        Ok((parts, collect(body, usize::MAX).await.unwrap()))
    })
}

fn check(parts: Parts, secret: &str, body: impl Into<Bytes>, expected: Result<(), Refusal>) {
    assert_eq!(checked(parts, secret, body).map(|_| ()), expected);
}

#[test]
fn published_signatures_are_right() {
    let date = "host;x-amz-date";
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    check(suite("GET", "/", &[], date, vanilla), SECRET, "", Ok(()));
    let ordered = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
    let query = "/?Param2=value2&Param1=value1";
    check(suite("GET", query, &[], date, ordered), SECRET, "", Ok(()));
    let posted = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    check(suite("POST", "/", &[], date, posted), SECRET, "", Ok(()));
    let form = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let signed = "content-type;host;x-amz-date";
    check(suite("POST", "/", &kind, signed, form), SECRET, "Param1=value1", Ok(()));
}

#[test]
fn anything_else_has_another_signature() {
    let date = "host;x-amz-date";
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let wrong = Err(Refusal::Mismatch);
    check(suite("GET", "/other", &[], date, vanilla), SECRET, "", wrong.clone());
    check(suite("GET", "/?a=b", &[], date, vanilla), SECRET, "", wrong.clone());
    check(suite("POST", "/", &[], date, vanilla), SECRET, "", wrong.clone());
    check(suite("GET", "/", &[], date, vanilla), SECRET, "body", wrong.clone());
    check(suite("GET", "/", &[], date, vanilla), S3_SECRET, "", wrong.clone());
    check(
        suite("GET", "/", &[], date, &vanilla.replace('5', "6")),
        SECRET,
        "",
        wrong.clone(),
    );
    check(suite("GET", "/", &[], date, ""), SECRET, "", wrong);
    let missing = suite("GET", "/", &[], "host;x-amz-date;x-amz-target", vanilla);
    let unread = Err(Refusal::malformed("the signed headers cannot be read"));
    check(missing, SECRET, "", unread);
}

const RANGE: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";

fn ranged(hash: &str) -> Parts {
    let headers = [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", hash),
    ];
    s3(
        "GET",
        "/test.txt",
        &headers,
        "host;range;x-amz-content-sha256;x-amz-date",
        RANGE,
    )
}

#[test]
fn signatures_of_s3_name_the_hash_of_the_body() {
    check(ranged(EMPTY), S3_SECRET, "", Ok(()));
    check(ranged(EMPTY), S3_SECRET, "body", Err(Refusal::OtherBody));
    check(ranged("UNSIGNED-PAYLOAD"), S3_SECRET, "", Err(Refusal::Mismatch));
    let signed = "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class";
    let headers = [
        ("host", "examplebucket.s3.amazonaws.com"),
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        (
            "x-amz-content-sha256",
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        ),
    ];
    let put = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
    let parts = || s3("PUT", "/test%24file.text", &headers, signed, put);
    check(parts(), S3_SECRET, "Welcome to Amazon S3.", Ok(()));
    check(parts(), S3_SECRET, "Welcome to Amazon S4.", Err(Refusal::OtherBody));
}

fn presigned(expires: &str) -> Parts {
    let uri = format!(
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
    parts("GET", &uri, &[("host", "examplebucket.s3.amazonaws.com")])
}

#[test]
fn presigned_urls_are_good_for_their_time() {
    check(presigned("86400"), S3_SECRET, "", Ok(()));
    check(presigned("86401"), S3_SECRET, "", Err(Refusal::Mismatch));
    let refused = Err(Refusal::malformed("X-Amz-Expires must be 1 to 604800 seconds"));
    for wrong in ["0", "604801", "-1", "x", ""] {
        check(presigned(wrong), S3_SECRET, "", refused.clone());
    }
    let claim = Claim::read(&presigned("86400")).unwrap();
    let signed: SystemTime = "2013-05-24T00:00:00Z".parse::<jiff::Timestamp>().unwrap().into();
    let at = |seconds: u64| claim.check_time(signed + Duration::from_secs(seconds));
    assert_eq!((at(0), at(86_400), at(86_401)), (Ok(()), Ok(()), Err(Refusal::Expired)));
    let early = claim.check_time(signed - Duration::from_secs(901));
    assert_eq!(early, Err(Refusal::Skewed));
    let header = Claim::read(&ranged(EMPTY)).unwrap();
    let at = |seconds: u64| header.check_time(signed + Duration::from_secs(seconds));
    assert_eq!((at(900), at(901)), (Ok(()), Err(Refusal::Skewed)));
}

/// The example of a body in chunks: 65 KB of `a`, then 1 KB.
fn chunked(signatures: [&str; 3], trailer: &str) -> Bytes {
    let [first, second, last] = signatures;
    let text = format!(
        "10000;chunk-signature={first}\r\n{}\r\n400;chunk-signature={second}\r\n{}\r\n0;chunk-signature={last}\r\n{trailer}\r\n",
        "a".repeat(0x10000),
        "a".repeat(0x400)
    );
    Bytes::from(text)
}

const CHUNKS: [&str; 3] = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
];

fn streamed(decoded: &str) -> Parts {
    let headers = [
        ("host", "s3.amazonaws.com"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", decoded),
        ("content-length", "66824"),
    ];
    let signed = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class";
    let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    s3("PUT", "/examplebucket/chunkObject.txt", &headers, signed, seed)
}

#[test]
fn chunks_are_signed_one_after_the_other() {
    let (parts, body) = checked(streamed("66560"), S3_SECRET, chunked(CHUNKS, "")).unwrap();
    assert_eq!(body.len(), 66_560);
    assert_eq!(parts.headers.get("content-encoding"), None);
    assert_eq!(parts.headers["content-length"], "66560");
    check(
        streamed("66561"),
        S3_SECRET,
        chunked(CHUNKS, ""),
        Err(Refusal::Mismatch),
    );
    let [first, second, last] = CHUNKS;
    for wrong in [[second, first, last], [first, second, second], [last, second, last]] {
        check(
            streamed("66560"),
            S3_SECRET,
            chunked(wrong, ""),
            Err(Refusal::OtherBody),
        );
    }
    let changed = String::from_utf8(chunked(CHUNKS, "").to_vec())
        .unwrap()
        .replacen("aa", "ab", 1);
    check(streamed("66560"), S3_SECRET, changed, Err(Refusal::OtherBody));
    let whole = chunked(CHUNKS, "");
    for end in [0, 10, 90, 66_000, whole.len() - 3] {
        let broken = Err(Refusal::malformed("its chunks cannot be read"));
        check(streamed("66560"), S3_SECRET, whole.slice(..end), broken);
    }
}

const TRAILED: [&str; 3] = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
];

fn trailed() -> Parts {
    let headers = [
        ("host", "s3.amazonaws.com"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-trailer", "x-amz-checksum-crc32c"),
    ];
    let signed = "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer";
    let seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
    s3("PUT", "/examplebucket/chunkObject.txt", &headers, signed, seed)
}

#[test]
fn trailing_checksums_are_signed_and_right() {
    let trailer =
        |sum: &str, signature: &str| format!("x-amz-checksum-crc32c:{sum}\r\nx-amz-trailer-signature:{signature}\r\n");
    let signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    let (parts, body) = checked(trailed(), S3_SECRET, chunked(TRAILED, &trailer("sOO8/Q==", signature))).unwrap();
    assert_eq!(
        (body.len(), parts.headers["x-amz-checksum-crc32c"].as_bytes()),
        (66_560, &b"sOO8/Q=="[..])
    );
    for wrong in [
        trailer("sOO8/R==", signature),
        trailer("sOO8/Q==", &signature.replace('d', "e")),
    ] {
        check(trailed(), S3_SECRET, chunked(TRAILED, &wrong), Err(Refusal::OtherBody));
    }
    let broken = Err(Refusal::malformed("its chunks cannot be read"));
    check(trailed(), S3_SECRET, chunked(TRAILED, ""), broken);
}

#[test]
fn other_kinds_of_signatures_are_refused_by_name() {
    let refused = |headers: &[(&str, &str)], uri: &str, name: &str| {
        let parts = parts("GET", uri, &[&[("host", "localhost")], headers].concat());
        assert_eq!(Claim::read(&parts).map(|_| ()), Err(Refusal::unsupported(name)));
    };
    refused(&[("authorization", "AWS AKID:c2ln")], "/", "Signature Version 2");
    refused(
        &[],
        "/b/k?AWSAccessKeyId=AKID&Expires=1&Signature=x",
        "Signature Version 2",
    );
    let a = "AWS4-ECDSA-P256-SHA256 Credential=A/20150830/service/aws4_request, SignedHeaders=host, Signature=00";
    refused(&[("authorization", a)], "/", "Signature Version 4A");
    refused(
        &[],
        "/?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Signature=0",
        "Signature Version 4A",
    );
    let other = "another kind of authorization than Signature Version 4";
    refused(&[("authorization", "Bearer token")], "/", other);
    refused(&[("authorization", "Basic dGVzdDp0ZXN0")], "/", other);
    let date = "host;x-amz-date";
    for form in [
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-EVENTS",
        "x",
    ] {
        let name = format!("a body of the form {form}");
        check(ranged(form), S3_SECRET, "", Err(Refusal::unsupported(&name)));
    }
    let unsigned = suite("POST", "/", &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], date, "0");
    let name = "a body of the form UNSIGNED-PAYLOAD for service";
    check(unsigned, SECRET, "", Err(Refusal::unsupported(name)));
}

#[test]
fn what_is_not_signed_changes_nothing() {
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let headers = |extra: &[(&str, &str)]| {
        let parts = suite("POST", "/", extra, "host;x-amz-date", vanilla);
        Claim::read(&parts).unwrap().check_headers(&parts.headers)
    };
    assert_eq!(headers(&[("user-agent", "x"), ("x-amz-user-agent", "y")]), Ok(()));
    for name in ["x-amz-target", "x-amz-security-token", "x-amz-acl", "x-amz-copy-source"] {
        assert_eq!(headers(&[(name, "x")]), Err(Refusal::HeaderNotSigned(name.to_owned())));
    }
}

#[test]
fn two_signatures_are_none() {
    let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    let date = "host;x-amz-date";
    let both = suite("GET", "/?X-Amz-Credential=a/b/c/d/e", &[], date, vanilla);
    let twice = suite("GET", "/", &[("authorization", "AWS4-HMAC-SHA256 x")], date, vanilla);
    for parts in [both, twice] {
        assert_eq!(
            Claim::read(&parts),
            Err(Refusal::malformed("it is signed more than once"))
        );
    }
    let no_host = suite("GET", "/", &[], "x-amz-date", vanilla);
    assert_eq!(
        Claim::read(&no_host),
        Err(Refusal::malformed("the host header must be signed"))
    );
}
