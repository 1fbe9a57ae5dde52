// The counter as a minimal Node function: the runtime API's loop, the AWS SDK, one UpdateItem.
import http from "node:http";
import { DynamoDBClient, UpdateItemCommand } from "@aws-sdk/client-dynamodb";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true });
const table = new DynamoDBClient({});

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path: `/2018-06-01/runtime/invocation/${path}`, agent }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(parts) }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function count() {
  const now = Math.floor(Date.now() / 1000);
  const answer = await table.send(new UpdateItemCommand({
    TableName: process.env.COUNTER_TABLE,
    Key: { counter_id: { S: "bench" } },
    UpdateExpression: "ADD visit_count :one SET last_updated = :now, ItemExpireTTL = :ttl",
    ExpressionAttributeValues: { ":one": { N: "1" }, ":now": { N: `${now}` }, ":ttl": { N: `${now + 2592000}` } },
    ReturnValues: "UPDATED_NEW",
  }));
  return { statusCode: 200, body: JSON.stringify({ count: Number(answer.Attributes.visit_count.N) }) };
}

for (;;) {
  const { headers } = await call("GET", "next");
  await call("POST", `${headers["lambda-runtime-aws-request-id"]}/response`, JSON.stringify(await count()));
}
