//! Orders to a deploy under way, each obeyed once.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value as Json;

use crate::task::contract::{DeployOrder, TaskCtx, TaskError, remember};

const KEY: &str = "order-";

/// Orders as they come. After a crash the engine gives all of them again; those obeyed before are passed over.
pub struct Orders {
    obeyed: usize,
    given: AtomicUsize,
}

impl Orders {
    /// Of the task of this context. Make one for a process.
    pub fn new(ctx: &dyn TaskCtx) -> Self {
        let obeyed = ctx
            .recorded()
            .iter()
            .filter(|key| key.strip_prefix(KEY).is_some_and(|rest| rest.parse::<usize>().is_ok()))
            .count();
        Self { obeyed, given: AtomicUsize::new(0) }
    }

    /// The next order that was not obeyed before. Say [`Orders::obey`] before acting on it.
    pub async fn next(&self, ctx: &dyn TaskCtx) -> DeployOrder {
        loop {
            let order = ctx.order().await;
            if self.given.fetch_add(1, Ordering::SeqCst) >= self.obeyed {
                return order;
            }
        }
    }

    /// Journals that the last order was obeyed, and where.
    pub async fn obey(&self, ctx: &dyn TaskCtx, at: &str) -> Result<(), TaskError> {
        let number = self.given.load(Ordering::SeqCst);
        remember::<Json, _>(ctx, &format!("{KEY}{number}"), || async { Ok(Json::from(at)) }).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::TestCtx;

    fn promote() -> DeployOrder {
        DeployOrder::Promote { by: "alice".to_owned(), full: false }
    }

    fn abort() -> DeployOrder {
        DeployOrder::Abort { by: "bob".to_owned() }
    }

    #[tokio::test]
    async fn an_order_obeyed_before_a_crash_is_not_obeyed_again() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = TestCtx::new(folder.path(), folder.path());
        ctx.orders.lock().unwrap().push_back(promote());
        let orders = Orders::new(&ctx);
        assert_eq!(orders.next(&ctx).await, promote());
        orders.obey(&ctx, "step 1").await.unwrap();

        let ctx = ctx.again();
        ctx.orders.lock().unwrap().extend([promote(), abort()]);
        let orders = Orders::new(&ctx);
        assert_eq!(orders.next(&ctx).await, abort());
    }

    #[tokio::test]
    async fn an_order_that_a_crash_came_before_is_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let ctx = TestCtx::new(folder.path(), folder.path());
        ctx.orders.lock().unwrap().push_back(promote());
        let orders = Orders::new(&ctx);
        assert_eq!(orders.next(&ctx).await, promote());

        let ctx = ctx.again();
        ctx.orders.lock().unwrap().push_back(promote());
        assert_eq!(Orders::new(&ctx).next(&ctx).await, promote());
    }
}
