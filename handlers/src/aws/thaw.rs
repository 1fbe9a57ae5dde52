//! An HTTP client that does not trust connections across a freeze. Lambda freezes an environment between requests, and its monotonic clock
//! with it: the pool believes that a connection has been idle for a moment when the other side closed it an hour ago. So the wall clock
//! decides, and after a pause there are new connections.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector};
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;

/// Builds clients, and says what time it is.
pub(super) trait Supply: Send + Sync {
    /// A client without connections.
    fn client(&self) -> SharedHttpClient;
    /// The wall clock.
    fn now(&self) -> SystemTime;
}

/// A client that is replaced when it has not been used for a while.
pub(super) struct ThawingClient<S> {
    supply: S,
    idle: Duration,
    current: Mutex<(SystemTime, SharedHttpClient)>,
}

impl<S: Supply> ThawingClient<S> {
    /// A client whose connections are not used after being idle for so long.
    pub(super) fn new(supply: S, idle: Duration) -> Self {
        let current = Mutex::new((supply.now(), supply.client()));
        Self { supply, idle, current }
    }

    fn current(&self) -> SharedHttpClient {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (used, client) = &mut *current;
        let now = self.supply.now();
        // A clock that was set back says nothing; the pool's own limit remains.
        if now.duration_since(*used).is_ok_and(|idle| idle >= self.idle) {
            *client = self.supply.client();
        }
        *used = now;
        client.clone()
    }
}

impl<S> fmt::Debug for ThawingClient<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThawingClient")
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

impl<S: Supply> HttpClient for ThawingClient<S> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        self.current().http_connector(settings, components)
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.current().validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.current().validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.current().connector_metadata()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use aws_smithy_runtime_api::client::http::http_client_fn;

    use super::*;

    #[derive(Clone, Default)]
    struct Counted {
        seconds: Arc<AtomicU64>,
        built: Arc<AtomicUsize>,
    }

    impl Supply for Counted {
        fn client(&self) -> SharedHttpClient {
            self.built.fetch_add(1, Ordering::Relaxed);
            http_client_fn(|_, _| unreachable!("nothing is sent"))
        }

        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(self.seconds.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn after_a_freeze_there_are_new_connections() {
        let supply = Counted::default();
        let client = ThawingClient::new(supply.clone(), Duration::from_secs(15));
        // Seconds of the wall clock at each use, and clients built until then.
        for (second, built) in [
            (0, 1),
            (14, 1),
            (28, 1),
            (43, 2),
            (50, 2),
            (3650, 3),
            (3600, 3),
            (3614, 3),
            (3629, 4),
        ] {
            supply.seconds.store(second, Ordering::Relaxed);
            client.current();
            assert_eq!(supply.built.load(Ordering::Relaxed), built, "at {second}");
        }
    }
}
