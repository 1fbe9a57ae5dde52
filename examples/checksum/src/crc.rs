use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

unsafe extern "C" {
    fn crc32_of(bytes: *const u8, length: usize) -> u32;
}

fn crc32(text: &str) -> u32 {
    // SAFETY: the function reads `length` bytes from `bytes`, and both are of one slice.
    unsafe { crc32_of(text.as_ptr(), text.len()) }
}

async fn answer(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let text = event.payload["queryStringParameters"]["text"].as_str().unwrap_or_default();
    Ok(json!({"algorithm": "crc32", "checksum": format!("{:08x}", crc32(text))}))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(answer)).await
}
