//! The least `bootstrap` there can be: answers every event with the same response. What the host and the gateway add
//! is measured with it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

fn main() -> io::Result<()> {
    let host = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
    let mut reader = BufReader::new(TcpStream::connect(&host)?);
    reader.get_ref().set_nodelay(true)?;
    let answer = r#"{"statusCode":200,"headers":{"content-type":"application/json"},"body":"{}"}"#;
    loop {
        let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: {host}\r\n\r\n");
        reader.get_mut().write_all(next.as_bytes())?;
        let request_id = response(&mut reader)?;
        let done = format!(
            "POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        reader.get_mut().write_all(done.as_bytes())?;
        response(&mut reader)?;
    }
}

/// Reads a response to its end; returns the request id in it, if there is one.
fn response(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let (mut request_id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "lambda-runtime-aws-request-id" => request_id = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(request_id)
}
