//! Two stages of one application do not touch each other.

use taskctl_tests::Project;

#[test]
fn two_stages_stand_side_by_side() {
    let project = Project::platform("stages");
    project.run(&["deploy", "--stage", "dev"]).expect(0);
    project.run(&["deploy", "--stage", "prod", "--yes"]).expect(0);
    project.run(&["plan", "--stage", "dev"]).expect(0);
    project.run(&["plan", "--stage", "prod"]).expect(0);
    let (dev, prod) = (project.live("dev"), project.live("prod"));
    assert_ne!(dev, prod);
    let count = |url: &str| -> u64 {
        let body: serde_json::Value = ureq::get(format!("{url}/counter"))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap();
        body["count"].as_u64().unwrap()
    };
    assert_eq!((count(&dev), count(&dev), count(&prod)), (1, 2, 1));
    project
        .run(&["destroy", "--stage", "dev", "--yes", "--delete-data", "all"])
        .expect(0);
    assert_eq!(count(&prod), 2);
    project.run(&["plan", "--stage", "prod"]).expect(0);
}
