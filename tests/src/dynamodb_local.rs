//! DynamoDB Local of AWS in place of the embedded engine. `tests/storage` starts it and runs the storage tests
//! on it again.

use aws_sdk_dynamodb::{
    Client,
    types::{BillingMode, GlobalSecondaryIndex},
};
use aws_types::SdkConfig;
use local::Running;

/// The environment variable with its address. Unset, the embedded engine is used.
const URL: &str = "DYNAMODB_LOCAL_URL";

/// Its address. It has one database for each access key, and each stack has its own key.
pub(crate) fn named_by_environment() -> Option<String> {
    std::env::var(URL).ok()
}

/// Creates the same tables as in the embedded engine of the stack.
pub(crate) async fn copy_tables(from: &Running, to: &SdkConfig) {
    let (from, to) = (Client::new(from.sdk_config()), Client::new(to));
    let names =
        from.list_tables().send().await.expect("the tables").table_names.unwrap_or_default();
    for name in names {
        let table = from
            .describe_table()
            .table_name(&name)
            .send()
            .await
            .expect("a table")
            .table
            .expect("a table");
        let indexes = table.global_secondary_indexes.unwrap_or_default().into_iter().map(|index| {
            GlobalSecondaryIndex::builder()
                .set_index_name(index.index_name)
                .set_key_schema(index.key_schema)
                .set_projection(index.projection)
                .build()
                .expect("an index")
        });
        to.create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(table.attribute_definitions)
            .set_key_schema(table.key_schema)
            .set_global_secondary_indexes(Some(indexes.collect()))
            .send()
            .await
            .unwrap_or_else(|error| panic!("DynamoDB Local did not create the table: {error:?}"));
    }
}
