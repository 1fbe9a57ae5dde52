# The stack of templates/platform.yaml, stage dev, as Terraform would have it. tests/bench/stack.py runs it side by side
# with taskctl.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 5.100" }
  }
}

variable "endpoint" { type = string }
variable "packages" { type = string }
variable "changed" {
  type        = string
  default     = ""
  description = "Zip of the function tasks, when it differs from the one in packages."
}

provider "aws" {
  region                      = "eu-central-1"
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  skip_credentials_validation = true
  default_tags { tags = { app = local.app, stage = "dev", managed-by = "terraform" } }
  endpoints {
    apigatewayv2 = var.endpoint
    cloudwatch   = var.endpoint
    dynamodb     = var.endpoint
    iam          = var.endpoint
    lambda       = var.endpoint
    logs         = var.endpoint
    s3           = var.endpoint
    sns          = var.endpoint
    sts          = var.endpoint
  }
}

locals {
  app     = "terrabench"
  prefix  = "terrabench-dev"
  account = "000000000000"
  region  = "eu-central-1"
  tables = {
    tasks = {
      key = "taskId", ttl = "ttl"
      indexes = {
        createdAt-index = { hash = "listPartition", range = "taskId", projection = "ALL" }
        status-index    = { hash = "statusPartition", range = "taskId", projection = "KEYS_ONLY" }
      }
      attributes = { taskId = "S", listPartition = "S", statusPartition = "S" }
    }
    users = {
      key = "userId", ttl = "ttl"
      indexes = {
        email-index     = { hash = "email", range = null, projection = "ALL" }
        createdAt-index = { hash = "listPartition", range = "createdAt", projection = "ALL" }
      }
      attributes = { userId = "S", email = "S", listPartition = "S", createdAt = "N" }
    }
    assets = {
      key = "assetId", ttl = "ttl"
      indexes = {
        createdAt-index = { hash = "listPartition", range = "assetId", projection = "ALL" }
        status-index    = { hash = "statusPartition", range = "assetId", projection = "KEYS_ONLY" }
      }
      attributes = { assetId = "S", listPartition = "S", statusPartition = "S" }
    }
    counter = { key = "counter_id", ttl = "ItemExpireTTL", indexes = {}, attributes = { counter_id = "S" } }
  }
  functions = {
    tasks   = { table = "tasks", actions = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"], environment = { TASKS_TABLE = "${local.prefix}-tasks" } }
    users   = { table = "users", actions = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"], environment = { USERS_TABLE = "${local.prefix}-users" } }
    assets  = { table = "assets", actions = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"], environment = { ASSETS_TABLE = "${local.prefix}-assets", ASSETS_BUCKET = "${local.prefix}-assets-${local.account}" } }
    counter = { table = "counter", actions = ["dynamodb:UpdateItem"], environment = { COUNTER_TABLE = "${local.prefix}-counter" } }
    health  = { table = "counter", actions = ["dynamodb:GetItem"], environment = { COUNTER_TABLE = "${local.prefix}-counter" } }
  }
  routes = {
    "POST /tasks"                   = "tasks"
    "GET /tasks"                    = "tasks"
    "GET /tasks/{taskId}"           = "tasks"
    "PUT /tasks/{taskId}"           = "tasks"
    "PATCH /tasks/{taskId}"         = "tasks"
    "DELETE /tasks/{taskId}"        = "tasks"
    "POST /users"                   = "users"
    "GET /users"                    = "users"
    "GET /users/{userId}"           = "users"
    "PUT /users/{userId}"           = "users"
    "DELETE /users/{userId}"        = "users"
    "POST /assets"                  = "assets"
    "GET /assets"                   = "assets"
    "GET /assets/{assetId}"         = "assets"
    "GET /assets/{assetId}/download" = "assets"
    "DELETE /assets/{assetId}"      = "assets"
    "GET /counter"                  = "counter"
    "GET /health"                   = "health"
  }
}

resource "aws_dynamodb_table" "table" {
  for_each     = local.tables
  name         = "${local.prefix}-${each.key}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = each.value.key
  dynamic "attribute" {
    for_each = each.value.attributes
    content {
      name = attribute.key
      type = attribute.value
    }
  }
  dynamic "global_secondary_index" {
    for_each = each.value.indexes
    content {
      name            = global_secondary_index.key
      hash_key        = global_secondary_index.value.hash
      range_key       = global_secondary_index.value.range
      projection_type = global_secondary_index.value.projection
    }
  }
  ttl {
    attribute_name = each.value.ttl
    enabled        = true
  }
  point_in_time_recovery { enabled = true }
}

resource "aws_s3_bucket" "bucket" {
  for_each      = toset(["assets", "site"])
  bucket        = "${local.prefix}-${each.key}-${local.account}"
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "bucket" {
  for_each                = aws_s3_bucket.bucket
  bucket                  = each.value.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = each.key == "assets"
  restrict_public_buckets = each.key == "assets"
}

resource "aws_s3_bucket_server_side_encryption_configuration" "bucket" {
  for_each = aws_s3_bucket.bucket
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_bucket_policy" "bucket" {
  for_each   = aws_s3_bucket.bucket
  bucket     = each.value.id
  depends_on = [aws_s3_bucket_public_access_block.bucket]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [each.value.arn, "${each.value.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }], each.key == "site" ? [{
      Sid       = "Website"
      Effect    = "Allow"
      Principal = "*"
      Action    = "s3:GetObject"
      Resource  = ["${each.value.arn}/*"]
      Condition = null
    }] : [])
  })
}

resource "aws_s3_bucket_lifecycle_configuration" "assets" {
  bucket = aws_s3_bucket.bucket["assets"].id
  rule {
    id     = "expire"
    status = "Enabled"
    filter {}
    expiration { days = 30 }
    abort_incomplete_multipart_upload { days_after_initiation = 7 }
  }
}

resource "aws_s3_bucket_cors_configuration" "assets" {
  bucket = aws_s3_bucket.bucket["assets"].id
  cors_rule {
    allowed_methods = ["GET", "PUT"]
    allowed_origins = ["http://localhost:1580", "http://127.0.0.1:1580"]
    allowed_headers = ["*"]
  }
}

resource "aws_s3_bucket_website_configuration" "site" {
  bucket = aws_s3_bucket.bucket["site"].id
  index_document { suffix = "index.html" }
  error_document { key = "error.html" }
}

resource "aws_sns_topic" "ops" { name = "${local.prefix}-ops" }

resource "aws_iam_role" "function" {
  for_each = local.functions
  name     = "${local.prefix}-${each.key}"
  path     = "/terraform/${local.app}/dev/"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions
  name     = "grants"
  role     = aws_iam_role.function[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.function[each.key].arn}:*" },
      { Effect = "Allow", Action = each.value.actions, Resource = [aws_dynamodb_table.table[each.value.table].arn, "${aws_dynamodb_table.table[each.value.table].arn}/index/*"] },
    ]
  })
}

resource "aws_cloudwatch_log_group" "function" {
  for_each          = local.functions
  name              = "/aws/lambda/${local.prefix}-${each.key}"
  retention_in_days = 30
}

resource "aws_cloudwatch_log_group" "api" {
  name              = "/aws/vendedlogs/terraform/${local.app}/dev/api"
  retention_in_days = 30
}

resource "aws_lambda_function" "function" {
  for_each         = local.functions
  function_name    = "${local.prefix}-${each.key}"
  role             = aws_iam_role.function[each.key].arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = ["x86_64"]
  memory_size      = 512
  timeout          = 30
  filename         = each.key == "tasks" && var.changed != "" ? var.changed : "${var.packages}/${each.key}.zip"
  source_code_hash = filebase64sha256(each.key == "tasks" && var.changed != "" ? var.changed : "${var.packages}/${each.key}.zip")
  publish          = true
  environment { variables = each.value.environment }
  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function[each.key].name
  }
  depends_on = [aws_iam_role_policy.function]
}

resource "aws_lambda_alias" "live" {
  for_each         = local.functions
  name             = "live"
  function_name    = aws_lambda_function.function[each.key].function_name
  function_version = aws_lambda_function.function[each.key].version
}

resource "aws_lambda_permission" "api" {
  for_each      = local.functions
  statement_id  = "api"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.function[each.key].function_name
  qualifier     = aws_lambda_alias.live[each.key].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/*"
}

resource "aws_apigatewayv2_api" "api" {
  name          = local.prefix
  protocol_type = "HTTP"
  cors_configuration {
    allow_origins = ["http://localhost:1580", "http://127.0.0.1:1580"]
    allow_methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    allow_headers = ["content-type", "idempotency-key", "if-match"]
  }
}

resource "aws_apigatewayv2_integration" "function" {
  for_each               = local.functions
  api_id                 = aws_apigatewayv2_api.api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_alias.live[each.key].arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "route" {
  for_each  = local.routes
  api_id    = aws_apigatewayv2_api.api.id
  route_key = each.key
  target    = "integrations/${aws_apigatewayv2_integration.function[each.value].id}"
}

resource "aws_apigatewayv2_deployment" "release" {
  api_id   = aws_apigatewayv2_api.api.id
  triggers = { content = sha1(jsonencode([local.routes, [for alias in aws_lambda_alias.live : alias.function_version]])) }
  lifecycle { create_before_destroy = true }
  depends_on = [aws_apigatewayv2_route.route]
}

resource "aws_apigatewayv2_stage" "slot" {
  for_each        = toset(["$default", "preview"])
  api_id          = aws_apigatewayv2_api.api.id
  name            = each.key
  deployment_id   = aws_apigatewayv2_deployment.release.id
  stage_variables = { release = "1" }
  default_route_settings {
    throttling_rate_limit  = 1000
    throttling_burst_limit = 500
  }
  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format          = jsonencode({ requestId = "$context.requestId", route = "$context.routeKey", status = "$context.status" })
  }
}

resource "aws_cloudwatch_metric_alarm" "function_errors" {
  for_each            = local.functions
  alarm_name          = "${local.prefix}-${each.key}-errors"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.function[each.key].function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 5
  comparison_operator = "GreaterThanOrEqualToThreshold"
  alarm_actions       = [aws_sns_topic.ops.arn]
}

resource "aws_cloudwatch_metric_alarm" "function_throttles" {
  for_each            = local.functions
  alarm_name          = "${local.prefix}-${each.key}-throttles"
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  dimensions          = { FunctionName = aws_lambda_function.function[each.key].function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  alarm_actions       = [aws_sns_topic.ops.arn]
}

resource "aws_cloudwatch_metric_alarm" "table_throttles" {
  for_each            = local.tables
  alarm_name          = "${local.prefix}-${each.key}-table-throttles"
  namespace           = "AWS/DynamoDB"
  metric_name         = "ReadThrottleEvents"
  dimensions          = { TableName = aws_dynamodb_table.table[each.key].name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  alarm_actions       = [aws_sns_topic.ops.arn]
}

resource "aws_cloudwatch_metric_alarm" "api_latency" {
  alarm_name          = "${local.prefix}-api-latency"
  namespace           = "AWS/ApiGateway"
  metric_name         = "Latency"
  dimensions          = { ApiId = aws_apigatewayv2_api.api.id, Stage = "$default" }
  extended_statistic  = "p99"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = 1000
  comparison_operator = "GreaterThanThreshold"
  alarm_actions       = [aws_sns_topic.ops.arn]
}

resource "aws_cloudwatch_metric_alarm" "api_5xx" {
  alarm_name          = "${local.prefix}-api-5xx"
  namespace           = "AWS/ApiGateway"
  metric_name         = "5xx"
  dimensions          = { ApiId = aws_apigatewayv2_api.api.id, Stage = "$default" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 10
  comparison_operator = "GreaterThanThreshold"
  alarm_actions       = [aws_sns_topic.ops.arn]
}

resource "aws_cloudwatch_dashboard" "dashboard" {
  dashboard_name = local.prefix
  dashboard_body = jsonencode({
    widgets = [for name in keys(local.functions) : {
      type = "metric", width = 12, height = 6
      properties = { region = local.region, title = name, metrics = [["AWS/Lambda", "Invocations", "FunctionName", "${local.prefix}-${name}"]] }
    }]
  })
}
