//! What exists is compared for being equal to what is wanted, not for having it: something extra is seen, and goes.

use std::collections::BTreeMap;
use std::future::Future;

use aws_sdk_cloudwatch::types::ComparisonOperator;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType,
};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, CorsConfiguration, CorsRule, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, Tag, Tagging,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use taskctl_stack::aws::client::clients::Clients;
use taskctl_stack::aws::registry;
use taskctl_stack::resource::ResourceId;
use taskctl_tests::Local;

use super::{Bench, connect, ours};

/// A resource of a kind as its small example has it.
async fn stand(local: &Local, kind: &str, name: &str) -> (Bench, Value) {
    let bench = Bench {
        context: connect(local).await,
        kind: registry().kind(kind),
        id: ResourceId::new(kind, "extra"),
    };
    let mut desired = ours(&bench.kind.examples()[0], &bench.context);
    desired["name"] = Value::from(name);
    bench.create(&desired).await;
    (bench, desired)
}

/// Something extra happens: it shows as a change of `field`, and is gone afterwards.
async fn check<F: Future<Output = ()>>(
    (bench, desired): &(Bench, Value),
    field: &str,
    extra: impl FnOnce(Clients) -> F,
) {
    extra(bench.context.clients().clone()).await;
    bench.apply(desired, Some(field)).await;
    bench
        .expect_nothing(desired, &format!("something extra in {field}"))
        .await;
}

const ANYBODY: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Extra","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::shop-dev-extra/*"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn something_extra_in_a_bucket_goes() {
    let local = Local::shared();
    let world = stand(&local, "s3_bucket", "shop-dev-extra").await;
    let bucket = "shop-dev-extra";
    check(&world, "policy", async |clients| {
        let read = clients.s3.get_bucket_policy().bucket(bucket).send().await.unwrap();
        let mut policy: Value = serde_json::from_str(read.policy().unwrap()).unwrap();
        let extra: Value = serde_json::from_str(ANYBODY).unwrap();
        policy["Statement"]
            .as_array_mut()
            .unwrap()
            .push(extra["Statement"][0].clone());
        let put = clients.s3.put_bucket_policy().bucket(bucket).policy(policy.to_string());
        put.send().await.unwrap();
    })
    .await;
    check(&world, "cors", async |clients| {
        let rule = CorsRule::builder()
            .allowed_origins("*")
            .allowed_methods("GET")
            .build()
            .unwrap();
        let rules = CorsConfiguration::builder().cors_rules(rule).build().unwrap();
        let put = clients.s3.put_bucket_cors().bucket(bucket).cors_configuration(rules);
        put.send().await.unwrap();
    })
    .await;
    check(&world, "other_lifecycle_rules", async |clients| {
        let rule = LifecycleRule::builder()
            .id("extra")
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("a/").build())
            .expiration(LifecycleExpiration::builder().days(1).build())
            .build()
            .unwrap();
        let rules = BucketLifecycleConfiguration::builder().rules(rule).build().unwrap();
        let put = clients.s3.put_bucket_lifecycle_configuration().bucket(bucket);
        put.lifecycle_configuration(rules).send().await.unwrap();
    })
    .await;
    check(&world, "tags", async |clients| {
        let read = clients.s3.get_bucket_tagging().bucket(bucket).send().await.unwrap();
        let extra = Tag::builder().key("extra").value("1").build().unwrap();
        let tags = Tagging::builder()
            .set_tag_set(Some(read.tag_set))
            .tag_set(extra)
            .build()
            .unwrap();
        let put = clients.s3.put_bucket_tagging().bucket(bucket).tagging(tags);
        put.send().await.unwrap();
    })
    .await;
    check(&world, "public_access_block", async |clients| {
        let delete = clients.s3.delete_public_access_block().bucket(bucket);
        delete.send().await.unwrap();
    })
    .await;
    check(&world, "website", async |clients| {
        let index = aws_sdk_s3::types::IndexDocument::builder()
            .suffix("a.html")
            .build()
            .unwrap();
        let site = aws_sdk_s3::types::WebsiteConfiguration::builder()
            .index_document(index)
            .build();
        let put = clients
            .s3
            .put_bucket_website()
            .bucket(bucket)
            .website_configuration(site);
        put.send().await.unwrap();
    })
    .await;
    world.0.delete(&world.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_extra_on_a_topic_goes() {
    let local = Local::shared();
    let world = stand(&local, "sns_topic", "shop-dev-extra").await;
    let arn = world.0.context.identity().arn("sns", "shop-dev-extra");
    check(&world, "tags", async |clients| {
        let tag = aws_sdk_sns::types::Tag::builder()
            .key("extra")
            .value("1")
            .build()
            .unwrap();
        clients
            .sns
            .tag_resource()
            .resource_arn(&arn)
            .tags(tag)
            .send()
            .await
            .unwrap();
    })
    .await;
    world.0.delete(&world.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_extra_on_a_table_goes() {
    let local = Local::shared();
    let world = stand(&local, "dynamodb_table", "shop-dev-extra").await;
    let table = "shop-dev-extra";
    check(&world, "indexes", async |clients| {
        let key = KeySchemaElement::builder()
            .attribute_name("extra")
            .key_type(KeyType::Hash);
        let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
        let index = CreateGlobalSecondaryIndexAction::builder()
            .index_name("extra-index")
            .key_schema(key.build().unwrap())
            .projection(projection)
            .build()
            .unwrap();
        let attribute = |name: &str| {
            let attribute = AttributeDefinition::builder().attribute_name(name);
            attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
        };
        let update = clients.dynamodb.update_table().table_name(table);
        let update = update
            .attribute_definitions(attribute("userId"))
            .attribute_definitions(attribute("extra"));
        let create = GlobalSecondaryIndexUpdate::builder().create(index).build();
        update.global_secondary_index_updates(create).send().await.unwrap();
    })
    .await;
    check(&world, "tags", async |clients| {
        let described = clients
            .dynamodb
            .describe_table()
            .table_name(table)
            .send()
            .await
            .unwrap();
        let arn = described.table().unwrap().table_arn().unwrap();
        let tag = aws_sdk_dynamodb::types::Tag::builder()
            .key("extra")
            .value("1")
            .build()
            .unwrap();
        let call = clients.dynamodb.tag_resource().resource_arn(arn).tags(tag);
        call.send().await.unwrap();
    })
    .await;
    world.0.delete(&world.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_extra_on_a_role_goes() {
    let local = Local::shared();
    let world = stand(&local, "iam_role", "shop-dev-extra-us-east-1").await;
    let role = "shop-dev-extra-us-east-1";
    check(&world, "trust", async |clients| {
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"},{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}"#;
        let update = clients.iam.update_assume_role_policy().role_name(role);
        update.policy_document(trust).send().await.unwrap();
    })
    .await;
    check(&world, "managed_policies", async |clients| {
        let attach = clients.iam.attach_role_policy().role_name(role);
        let arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
        attach.policy_arn(arn).send().await.unwrap();
    })
    .await;
    check(&world, "policy", async |clients| {
        let read = clients.iam.get_role_policy().role_name(role).policy_name("taskctl");
        let read = read.send().await.unwrap();
        let text = percent_decode_str(read.policy_document()).decode_utf8().unwrap();
        let mut policy: Value = serde_json::from_str(&text).unwrap();
        policy["Statement"]
            .as_array_mut()
            .unwrap()
            .push(json!({"Sid": "Extra", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}));
        let put = clients.iam.put_role_policy().role_name(role).policy_name("taskctl");
        put.policy_document(policy.to_string()).send().await.unwrap();
    })
    .await;
    check(&world, "tags", async |clients| {
        let tag = aws_sdk_iam::types::Tag::builder()
            .key("extra")
            .value("1")
            .build()
            .unwrap();
        clients.iam.tag_role().role_name(role).tags(tag).send().await.unwrap();
    })
    .await;
    world.0.delete(&world.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_extra_on_a_rule_goes() {
    let local = Local::shared();
    let world = stand(&local, "warmup_rule", "shop-dev-extra").await;
    let rule = "shop-dev-extra";
    let target = |id: &str, arn: &str| {
        let target = aws_sdk_eventbridge::types::Target::builder().id(id).arn(arn);
        target.role_arn("arn:aws:iam::000000000000:role/extra").build().unwrap()
    };
    check(&world, "targets", async |clients| {
        let extra = target("extra", "arn:aws:sqs:us-east-1:000000000000:extra");
        let put = clients.events.put_targets().rule(rule).targets(extra);
        put.send().await.unwrap();
    })
    .await;
    check(&world, "targets", async |clients| {
        let read = clients.events.list_targets_by_rule().rule(rule).send().await.unwrap();
        let ours = read.targets().first().unwrap();
        let extra = target(ours.id(), ours.arn());
        clients
            .events
            .put_targets()
            .rule(rule)
            .targets(extra)
            .send()
            .await
            .unwrap();
    })
    .await;
    check(&world, "schedule", async |clients| {
        let put = clients
            .events
            .put_rule()
            .name(rule)
            .schedule_expression("rate(5 minutes)");
        put.event_pattern(r#"{"source":["aws.s3"]}"#).send().await.unwrap();
    })
    .await;
    world.0.delete(&world.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn something_extra_of_an_alarm_and_a_dashboard_goes() {
    let local = Local::shared();
    let world = stand(&local, "cloudwatch_alarm", "shop-dev-extra").await;
    check(&world, "alarm_actions", async |clients| {
        let stat = &world.1["measure"]["metric"];
        let dimensions: BTreeMap<String, String> = serde_json::from_value(stat["dimensions"].clone()).unwrap();
        let dimensions = dimensions.into_iter().map(|(name, value)| {
            aws_sdk_cloudwatch::types::Dimension::builder()
                .name(name)
                .value(value)
                .build()
        });
        let put = clients.cloudwatch.put_metric_alarm().alarm_name("shop-dev-extra");
        let put = put
            .namespace("AWS/Lambda")
            .metric_name("Duration")
            .extended_statistic("p99")
            .set_dimensions(Some(dimensions.collect()))
            .period(300)
            .evaluation_periods(1)
            .datapoints_to_alarm(1)
            .threshold(5.0)
            .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
            .treat_missing_data("missing");
        let action = "arn:aws:sns:us-east-1:000000000000:extra";
        put.alarm_actions(action).send().await.unwrap();
    })
    .await;
    world.0.delete(&world.1).await;
    let world = stand(&local, "cloudwatch_dashboard", "shop-dev-extra-us-east-1").await;
    check(&world, "body", async |clients| {
        let name = "shop-dev-extra-us-east-1";
        let read = clients
            .cloudwatch
            .get_dashboard()
            .dashboard_name(name)
            .send()
            .await
            .unwrap();
        let mut body: Value = serde_json::from_str(read.dashboard_body().unwrap()).unwrap();
        let extra =
            json!({"type": "text", "x": 0, "y": 9, "width": 6, "height": 6, "properties": {"markdown": "extra"}});
        body["widgets"].as_array_mut().unwrap().push(extra);
        let put = clients.cloudwatch.put_dashboard().dashboard_name(name);
        put.dashboard_body(body.to_string()).send().await.unwrap();
    })
    .await;
    world.0.delete(&world.1).await;
}
