//! The test of an application: whether this service reaches its directory, and which account a name
//! means there.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    json::{
        object_reader::{self, NAME_BYTES},
        request_schema::{Object, about, text},
        strict_json::FieldError,
    },
    time::timestamp::Instant,
};

/// A test of an application. It reads from the directory and changes nothing there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplicationTest {
    pub state: ApplicationTestState,
    /// The account to look up. Without one, a name that no account has is looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The name of the person or program that requested it.
    pub asked_by: String,
    /// When it was requested.
    pub asked_at: Instant,
    /// When it ended. Absent while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Instant>,
    /// The version of the application that was tested. The application may have changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The account that the directory found. It is also there if the test failed because the
    /// account matches none of the application's `accounts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundAccount>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationTestState {
    /// It has no result yet. After a minute, request another one.
    Waiting,
    /// The service signed in and read accounts. Where the test names an account, the directory has
    /// it and the application allows it.
    Passed,
    Failed,
}

/// An account that a test found in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundAccount {
    /// The directory's own id. It is what a window stores and disables.
    pub id: String,
    /// Its user name: the user principal name in Microsoft Entra, the `userName` in SCIM.
    pub name: String,
    /// Whether it may sign in.
    pub is_enabled: bool,
    /// Whether it is a guest from another directory. Its sessions are there and cannot be ended
    /// here.
    pub is_foreign: bool,
}

impl ApplicationTest {
    /// A test that waits.
    pub fn new(account: Option<String>, asked_by: String, asked_at: Instant) -> Self {
        Self {
            state: ApplicationTestState::Waiting,
            account,
            asked_by,
            asked_at,
            done_at: None,
            version: None,
            found: None,
            error: None,
        }
    }

    pub fn is_waiting(&self) -> bool {
        self.state == ApplicationTestState::Waiting
    }

    /// The test with its result, for that version of the application. It passed if there is no
    /// error.
    #[must_use]
    pub fn done(
        self,
        version: u64,
        found: Option<FoundAccount>,
        error: Option<String>,
        at: Instant,
    ) -> Self {
        let state = match error {
            None => ApplicationTestState::Passed,
            Some(_) => ApplicationTestState::Failed,
        };
        Self { state, done_at: Some(at), version: Some(version), found, error, ..self }
    }
}

/// The body of `POST /v1/applications/{id}/test`, which may be left out.
#[derive(Debug)]
pub struct TestApplicationRequest;

impl TestApplicationRequest {
    /// Reads the account to look up, if one is named.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str) -> Result<Option<String>, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let account = fields.text("account", NAME_BYTES);
            fields.refuse_others();
            Some(account)
        })
    }
}

impl JsonSchema for TestApplicationRequest {
    fn schema_name() -> Cow<'static, str> {
        "TestApplicationRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::new("What to look up in the directory.")
            .optional(
                "account",
                about("The name, e-mail address or id of an account.", text(NAME_BYTES)),
            )
            .example(json!({"account": "msptech6913"}))
            .schema()
    }
}
