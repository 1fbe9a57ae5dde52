# Terraform against the local target, with the variables of `taskctl local env`.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = false
  skip_credentials_validation = false
}

resource "aws_s3_bucket" "client" {
  bucket        = "terraform-client"
  force_destroy = true
}

resource "aws_s3_object" "client" {
  bucket  = aws_s3_bucket.client.bucket
  key     = "a b/c.txt"
  content = "content"
}

resource "aws_dynamodb_table" "client" {
  name         = "terraform-client"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "id"
  attribute {
    name = "id"
    type = "S"
  }
}

resource "aws_iam_role" "client" {
  name               = "terraform-client"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
