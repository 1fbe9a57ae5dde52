//! Values that others keep beside a run or a reader: one of each type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// One value of each type, made when it is first asked for. So what only one kind needs is named in that kind alone.
#[derive(Default)]
pub(in crate::aws) struct Extensions {
    by_type: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Extensions {
    /// The value of a type.
    pub fn get<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut by_type = self.by_type.lock();
        let kept = by_type
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(T::default()));
        match Arc::clone(kept).downcast() {
            Ok(value) => value,
            Err(_) => unreachable!("the key is the type"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_value() {
        let extensions = Extensions::default();
        extensions.get::<Mutex<u8>>().lock().clone_from(&7);
        assert_eq!(*extensions.get::<Mutex<u8>>().lock(), 7);
        assert_eq!(*extensions.get::<Mutex<u16>>().lock(), 0);
    }
}
