//! What holds for data stores beyond what every kind must do: data is seen and goes only with its store, strangers'
//! resources are told apart, and whatever state an interrupted run left behind converges.

use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use futures::future::try_join_all;
use serde_json::Value;
use taskctl_stack::aws::client::error::ErrorKind;
use taskctl_stack::aws::read::reader::Reader;
use taskctl_stack::aws::registry;
use taskctl_stack::execute::execute;
use taskctl_stack::plan::Action;
use taskctl_stack::resource::{Ownership, ResourceId};

use taskctl_tests::Local;

use super::{Bench, connect, ours};

/// A bench for one kind, and its examples under a name of this test's own.
async fn bench(local: &Local, kind: &str, name: &str) -> (Bench, Value, Value) {
    let context = connect(local).await;
    let kind = registry().kind(kind);
    let mut examples: Vec<Value> = kind.examples().iter().map(|example| ours(example, &context)).collect();
    for example in &mut examples {
        let old = example["name"].as_str().unwrap().to_owned();
        let text = example.to_string().replace(&old, name);
        *example = serde_json::from_str(&text).unwrap();
    }
    let full = examples.pop().unwrap();
    let small = examples.pop().unwrap();
    let bench = Bench {
        id: ResourceId::new(kind.spec().name, name),
        context,
        kind,
    };
    (bench, small, full)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_goes_with_all_its_objects() {
    let local = Local::shared();
    let name = "shop-dev-full";
    let (bench, small, _) = bench(&local, "s3_bucket", name).await;
    let outputs = [("name".to_owned(), name.to_owned())].into();
    let empty = || bench.kind.is_empty(&bench.context, &outputs);
    assert!(empty().await.unwrap(), "one that does not exist");
    bench.create(&small).await;
    assert!(empty().await.unwrap(), "a new one");

    let s3 = &bench.context.clients().s3;
    let put = |key: String| s3.put_object().bucket(name).key(key).body(b"x".to_vec().into()).send();
    let versions = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    s3.put_bucket_versioning()
        .bucket(name)
        .versioning_configuration(versions)
        .send()
        .await
        .unwrap();
    s3.delete_object().bucket(name).key("never-there").send().await.unwrap();
    assert!(empty().await.unwrap(), "one with a delete marker only");
    put("a b/ü+%".to_owned()).await.unwrap();
    assert!(!empty().await.unwrap(), "one with an object");
    s3.delete_object().bucket(name).key("a b/ü+%").send().await.unwrap();
    assert!(!empty().await.unwrap(), "one with a version that is no longer current");
    for batch in 0..11 {
        try_join_all((0..100).map(|n| put(format!("page/{batch}/{n}"))))
            .await
            .unwrap();
    }
    s3.create_multipart_upload()
        .bucket(name)
        .key("unfinished")
        .send()
        .await
        .unwrap();

    bench.delete(&small).await;
    assert_eq!(bench.read(&small).await, None);
    assert!(empty().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_makes_a_table_not_empty() {
    use aws_sdk_dynamodb::types::AttributeValue;
    let local = Local::shared();
    let (bench, small, _) = bench(&local, "dynamodb_table", "shop-dev-item").await;
    let outputs = [("name".to_owned(), "shop-dev-item".to_owned())].into();
    assert!(
        bench.kind.is_empty(&bench.context, &outputs).await.unwrap(),
        "one that does not exist"
    );
    bench.create(&small).await;
    assert!(bench.kind.is_empty(&bench.context, &outputs).await.unwrap());
    let put = bench.context.clients().dynamodb.put_item().table_name("shop-dev-item");
    put.item("userId", AttributeValue::S("1".to_owned()))
        .send()
        .await
        .unwrap();
    assert!(!bench.kind.is_empty(&bench.context, &outputs).await.unwrap());
    bench.delete(&small).await;
}

/// What is replaced is deleted first, and has the same guard as what is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_data_is_not_replaced() {
    use aws_sdk_dynamodb::types::AttributeValue;
    let local = Local::shared();
    let name = "shop-dev-replaced";
    let (bench, small, _) = bench(&local, "dynamodb_table", name).await;
    let outputs = [("name".to_owned(), name.to_owned())].into();
    bench.create(&small).await;
    let dynamodb = &bench.context.clients().dynamodb;
    let id = || AttributeValue::S("1".to_owned());
    let put = dynamodb.put_item().table_name(name).item("userId", id());
    put.send().await.unwrap();
    let mut wanted = small.clone();
    wanted["partition_key"]["name"] = Value::from("other");

    let plan = bench.plan(&wanted).await;
    assert!(matches!(plan.steps[0].action, Action::DeleteThenCreate { .. }));
    let end = execute(&bench.context, registry(), &plan).await;
    assert_eq!((end.kept, end.done), (vec![bench.id.clone()], vec![]));
    assert!(!bench.kind.is_empty(&bench.context, &outputs).await.unwrap());

    let delete = dynamodb.delete_item().table_name(name).key("userId", id());
    delete.send().await.unwrap();
    let end = execute(&bench.context, registry(), &plan).await;
    assert_eq!((end.kept, end.done), (vec![], vec![bench.id.clone()]));
    bench.expect_nothing(&wanted, "replacing an empty table").await;
    bench.delete(&wanted).await;
}

/// Makes a table as somebody else, or a run that was cut off, would.
async fn make_table(bench: &Bench, name: &str, tagged: bool) {
    let tags = bench.context.identity().tags().into_iter().map(|(key, value)| {
        aws_sdk_dynamodb::types::Tag::builder()
            .key(key)
            .value(value)
            .build()
            .unwrap()
    });
    let attribute = AttributeDefinition::builder()
        .attribute_name("userId")
        .attribute_type(ScalarAttributeType::S)
        .build()
        .unwrap();
    bench
        .context
        .clients()
        .dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute)
        .key_schema(
            KeySchemaElement::builder()
                .attribute_name("userId")
                .key_type(KeyType::Hash)
                .build()
                .unwrap(),
        )
        .set_tags(tagged.then(|| tags.collect()))
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_is_foreign() {
    let local = Local::shared();
    let (table, small, _) = bench(&local, "dynamodb_table", "shop-dev-foreign").await;
    make_table(&table, "shop-dev-foreign", false).await;
    check_foreign(&table, &small).await;
    table.delete(&small).await;

    let (bucket, small, _) = bench(&local, "s3_bucket", "shop-dev-foreign").await;
    let region = &bucket.context.identity().region;
    let elsewhere = (region != "us-east-1").then(|| {
        let constraint = BucketLocationConstraint::from(region.as_str());
        CreateBucketConfiguration::builder()
            .location_constraint(constraint)
            .build()
    });
    let call = bucket.context.clients().s3.create_bucket().bucket("shop-dev-foreign");
    call.set_create_bucket_configuration(elsewhere).send().await.unwrap();
    check_foreign(&bucket, &small).await;
    bucket.delete(&small).await;

    let (topic, small, _) = bench(&local, "sns_topic", "shop-dev-foreign").await;
    topic
        .context
        .clients()
        .sns
        .create_topic()
        .name("shop-dev-foreign")
        .send()
        .await
        .unwrap();
    check_foreign(&topic, &small).await;
    topic.delete(&small).await;
}

async fn check_foreign(bench: &Bench, desired: &Value) {
    let began = std::time::Instant::now();
    let observed = loop {
        if let Some(observed) = bench.read(desired).await {
            break observed;
        }
        assert!(began.elapsed() < super::PATIENCE, "{}: it can be read", bench.name());
    };
    assert!(
        matches!(observed.ownership, Ownership::Foreign { .. }),
        "{}: {:?}",
        bench.name(),
        observed.ownership
    );
    let found = bench.kind.enumerate(&Reader::new(bench.context.clone())).await.unwrap();
    let name = observed.outputs.get("name");
    assert!(
        found.iter().all(|one| one.outputs.get("name") != name),
        "{}: {found:?}",
        bench.name()
    );
    // An emulator may take a second topic of the same name for the first; AWS compares tags.
    match bench.kind.create(&bench.context, &bench.id, desired).await {
        Err(error) => assert_eq!(error.kind, ErrorKind::AlreadyExists, "{}: {error}", bench.name()),
        Ok(_) => assert_eq!(bench.name(), "sns_topic"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_its_way_in_or_out_converges() {
    let local = Local::shared();
    let name = "shop-dev-moving";
    let (bench, _, mut desired) = bench(&local, "dynamodb_table", name).await;
    desired["sort_key"] = Value::Null;
    desired["deletion_protection"] = Value::Bool(false);

    make_table(&bench, name, true).await;
    let refused = bench
        .kind
        .create(&bench.context, &bench.id, &desired)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::AlreadyExists);
    bench.apply(&desired, None).await;
    bench
        .expect_nothing(&desired, "the update of what a run before had begun")
        .await;

    bench
        .context
        .clients()
        .dynamodb
        .delete_table()
        .table_name(name)
        .send()
        .await
        .unwrap();
    assert_eq!(bench.read(&desired).await, None);
    bench.create(&desired).await;
    bench
        .expect_nothing(&desired, "create while the one before was on its way out")
        .await;
    bench.delete(&desired).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_by_another_attribute_takes_two_changes() {
    let local = Local::shared();
    let (bench, mut desired, _) = bench(&local, "dynamodb_table", "shop-dev-expiry").await;
    desired["ttl_attribute"] = Value::from("ttl");
    bench.create(&desired).await;
    bench.settled(&desired, "ttl_attribute").await;
    let mut other = desired.clone();
    other["ttl_attribute"] = Value::from("expiresAt");
    // Where the hour is kept, this is refused at once; with a window that ended, it is half done.
    match bench
        .kind
        .update(
            &bench.context,
            &bench.id,
            &other,
            &bench.read(&other).await.unwrap(),
            &all(&bench, &other).await,
        )
        .await
    {
        Ok(_) => bench.expect_nothing(&other, "a change of the attribute").await,
        Err(error) => {
            assert!(
                error.message.contains("once") || error.message.contains("an hour"),
                "{error}"
            );
            assert!(error.message.contains("run the same command again after"), "{error}");
        }
    }
    bench.delete(&desired).await;
}

async fn all(bench: &Bench, desired: &Value) -> taskctl_stack::aws::kinds::kind::Fields {
    let plan = bench.plan(desired).await;
    taskctl_stack::aws::kinds::kind::Fields::new(plan.steps[0].action.changes())
}
