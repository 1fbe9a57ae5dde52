//! How far an action of the deployer reaches: the resources that a statement of its policy names.

/// On what an action is allowed. The name is the statement's Sid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Actions that AWS cannot narrow to a resource.
    Account,
    /// The stack's alarms.
    Alarms,
    /// What is made and changed of the stack's API.
    ApiChanges,
    /// What goes of the stack's API, or all of it.
    ApiRemovals,
    /// The stack's buckets.
    Buckets,
    /// The control bucket.
    ControlBucket,
    /// The stack's objects in the control bucket.
    ControlObjects,
    /// The stack's dashboards.
    Dashboards,
    /// The stack's functions.
    Functions,
    /// Who may invoke functions: services alone.
    Invokers,
    /// Keys of its tables.
    Keys,
    /// Versions of layers that functions have.
    Layers,
    /// The stack's log groups.
    LogGroups,
    /// Networks that functions are in: EC2 describes them to whoever puts a function there.
    Networks,
    /// The making of the API.
    NewApi,
    /// Objects of every bucket; for `destroy` alone.
    Objects,
    /// Roles that are handed to Lambda.
    PassRoles,
    /// Everything that only looks at the stack's own.
    Read,
    /// What gives roles permissions.
    RolePermissions,
    /// The stack's roles.
    Roles,
    /// The stack's EventBridge rules.
    Rules,
    /// The role that API Gateway makes for itself with the first API of an account.
    ServiceRole,
    /// Buckets of web sites, and their pages.
    Sites,
    /// The stack's tables.
    Tables,
    /// The stack's topics.
    Topics,
    /// Versions of the stack's functions.
    Versions,
}

/// Whether an action shows what something is, and neither changes it nor shows what it holds.
pub fn is_look(action: &str) -> bool {
    let (service, verb) = action.split_once(':').unwrap_or_default();
    match service {
        "apigateway" => verb == "GET",
        "s3" => verb.starts_with("Get") && !verb.starts_with("GetObject"),
        "kms" => false,
        _ => ["Describe", "Get", "List", "Simulate"]
            .iter()
            .any(|start| verb.starts_with(start)),
    }
}
