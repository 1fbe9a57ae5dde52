//! Partitions of AWS: what their domains end in. A region's name tells its partition.
//! <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>

/// How regions of a partition begin, its DNS suffix, and the domain of its console.
struct Partition {
    regions: &'static str,
    suffix: &'static str,
    console: &'static str,
}

const CONSOLE: &str = "console.aws.amazon.com";

/// As the SDKs have them: `partitions.json` of botocore. That of all other regions is the last.
const PARTITIONS: [Partition; 8] = [
    Partition {
        regions: "cn-",
        suffix: "amazonaws.com.cn",
        console: "console.amazonaws.cn",
    },
    Partition {
        regions: "us-gov-",
        suffix: "amazonaws.com",
        console: "console.amazonaws-us-gov.com",
    },
    Partition {
        regions: "eusc-",
        suffix: "amazonaws.eu",
        console: "console.amazonaws-eusc.eu",
    },
    Partition {
        regions: "us-iso-",
        suffix: "c2s.ic.gov",
        console: CONSOLE,
    },
    Partition {
        regions: "us-isob-",
        suffix: "sc2s.sgov.gov",
        console: CONSOLE,
    },
    Partition {
        regions: "eu-isoe-",
        suffix: "cloud.adc-e.uk",
        console: CONSOLE,
    },
    Partition {
        regions: "us-isof-",
        suffix: "csp.hci.ic.gov",
        console: CONSOLE,
    },
    Partition {
        regions: "",
        suffix: "amazonaws.com",
        console: CONSOLE,
    },
];

fn of(region: &str) -> &'static Partition {
    let mut partitions = PARTITIONS.iter();
    let found = partitions.find(|partition| region.starts_with(partition.regions));
    found.unwrap_or(&PARTITIONS[PARTITIONS.len() - 1])
}

/// What the hosts of a region end in.
pub fn dns_suffix(region: &str) -> &'static str {
    of(region).suffix
}

/// The host of the console, behind the region's name.
/// <https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html>
pub fn console_domain(region: &str) -> &'static str {
    of(region).console
}

/// Host of a bucket's web site. Older regions write a dash before their name, others a dot.
/// <https://docs.aws.amazon.com/general/latest/gr/s3.html#s3_website_region_endpoints>
pub fn website_host(bucket: &str, region: &str) -> String {
    const DASHED: [&str; 9] = [
        "ap-northeast-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "eu-west-1",
        "sa-east-1",
        "us-east-1",
        "us-gov-west-1",
        "us-west-1",
        "us-west-2",
    ];
    let mark = if DASHED.contains(&region) { '-' } else { '.' };
    format!("{bucket}.s3-website{mark}{region}.{}", dns_suffix(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_own_domains() {
        for (region, suffix, console) in [
            ("eu-central-1", "amazonaws.com", "console.aws.amazon.com"),
            ("us-gov-west-1", "amazonaws.com", "console.amazonaws-us-gov.com"),
            ("cn-north-1", "amazonaws.com.cn", "console.amazonaws.cn"),
            ("eusc-de-east-1", "amazonaws.eu", "console.amazonaws-eusc.eu"),
            ("us-isob-east-1", "sc2s.sgov.gov", "console.aws.amazon.com"),
        ] {
            assert_eq!(
                (dns_suffix(region), console_domain(region)),
                (suffix, console),
                "{region}"
            );
        }
    }

    #[test]
    fn website_endpoints_are_spelled_as_the_region_does() {
        for (region, expected) in [
            ("us-east-1", "b.s3-website-us-east-1.amazonaws.com"),
            ("eu-west-1", "b.s3-website-eu-west-1.amazonaws.com"),
            ("eu-central-1", "b.s3-website.eu-central-1.amazonaws.com"),
            ("cn-north-1", "b.s3-website.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", "b.s3-website.eusc-de-east-1.amazonaws.eu"),
        ] {
            assert_eq!(website_host("b", region), expected);
        }
    }
}
