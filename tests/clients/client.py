"""boto3 against the local target: every form in which it sends bodies."""

import io
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

tried = 0
bucket = "boto3-client"
for settings in ({}, {"payload_signing_enabled": True}, {"payload_signing_enabled": False}):
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path", **settings}))
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    for checksum in ({}, {"ChecksumAlgorithm": "CRC32"}, {"ChecksumAlgorithm": "SHA1"}, {"ChecksumAlgorithm": "SHA256"}):
        for body in (b"", b"x", b"x" * 3_000_000):
            s3.put_object(Bucket=bucket, Key="a b/ü+&~*.txt", Body=io.BytesIO(body), **checksum)
            assert s3.get_object(Bucket=bucket, Key="a b/ü+&~*.txt")["Body"].read() == body
            tried += 1
    s3.upload_fileobj(io.BytesIO(b"y" * 20_000_000), bucket, "parts")
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "p"})
    urllib.request.urlopen(urllib.request.Request(put, b"body", method="PUT"))
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "p"})
    assert urllib.request.urlopen(get).read() == b"body"
    try:
        urllib.request.urlopen(get.replace("/p?", "/parts?"))
        raise SystemExit("a URL of one object gave another")
    except urllib.error.HTTPError as error:
        assert error.code == 403
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ("a b/ü+&~*.txt", "p", "parts")]})
    s3.delete_bucket(Bucket=bucket)

wrong = boto3.client("dynamodb", aws_access_key_id="000000000000", aws_secret_access_key="wrong")
try:
    wrong.list_tables()
    raise SystemExit("a wrong secret was let in")
except ClientError as error:
    assert error.response["Error"]["Code"] == "InvalidSignatureException", error

iam, sts = boto3.client("iam"), boto3.client("sts")
role = iam.create_role(RoleName="boto3-client", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')["Role"]["Arn"]
keys = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
assert session.client("sts").get_caller_identity()["Arn"].endswith("assumed-role/boto3-client/me")
try:
    session.client("dynamodb").list_tables()
    raise SystemExit("a role without policies was let in")
except ClientError as error:
    assert error.response["Error"]["Code"] == "AccessDeniedException", error
iam.delete_role(RoleName="boto3-client")
print(f"{boto3.__version__}: {tried} objects, parts, presigned URLs, a wrong secret, a role")
