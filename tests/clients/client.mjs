// The JavaScript SDK against the local target: every form in which it sends bodies.
import { Readable } from "node:stream";
import { CreateBucketCommand, DeleteBucketCommand, DeleteObjectCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { DynamoDBClient, ListTablesCommand } from "@aws-sdk/client-dynamodb";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const Bucket = "javascript-client", Key = "a b/ü+&~*.txt";
let tried = 0;
for (const settings of [{}, { requestChecksumCalculation: "WHEN_REQUIRED" }, { applyChecksum: false }]) {
  const s3 = new S3Client({ forcePathStyle: true, ...settings });
  await s3.send(new CreateBucketCommand({ Bucket }));
  const put = async (Body, more) => {
    await s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
    tried++;
    return (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body.transformToString();
  };
  for (const checksum of [{}, { ChecksumAlgorithm: "CRC32C" }, { ChecksumAlgorithm: "SHA256" }]) {
    if (await put("text", checksum) !== "text") throw new Error("another text");
    const stream = Readable.from([Buffer.alloc(70_000, "x"), Buffer.alloc(70_000, "y")]);
    const streamed = await put(stream, { ContentLength: 140_000, ...checksum });
    if (streamed.length !== 140_000) throw new Error(`a stream of ${streamed.length}`);
  }
  const upload = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  const sent = await fetch(upload, { method: "PUT", body: "presigned" });
  const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  const got = await (await fetch(url)).text();
  if (!sent.ok || got !== "presigned") throw new Error(`presigned: ${sent.status} ${got}`);
  await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
}
await new DynamoDBClient().send(new ListTablesCommand());
const me = await new STSClient().send(new GetCallerIdentityCommand());
console.log(`${tried} objects, presigned URLs, ${me.Arn}`);
