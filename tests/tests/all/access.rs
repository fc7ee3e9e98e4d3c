//! Who may, after the gateway let a token in: permissions by scope and role, tenants, events of one's own.

use serde_json::{Value, json};
use tests::{Stack, seconds_ago, send};

fn login(actor: Value) -> Value {
    json!({"action": "user.logged_in", "occurred_at": seconds_ago(60), "actor": actor})
}

#[tokio::test]
async fn permissions_come_from_scopes_and_roles() {
    let stack = Stack::start().await;
    for (claims, read, write) in [
        (json!({"scope": "audit:read"}), 200, 403),
        (json!({"scope": "audit:write"}), 403, 201),
        (json!({"scope": "openid audit:read audit:write"}), 200, 201),
        (json!({"scope": "audit:operate audit:admin"}), 403, 403),
        (json!({"scope": "audit:readwrite"}), 403, 403),
        (json!({"scope": "AUDIT:READ"}), 403, 403),
        (json!({"roles": ["Audit User"]}), 200, 403),
        (json!({"roles": ["Somebody", "Global Administrator"]}), 200, 403),
        (json!({"roles": ["audit user"]}), 403, 403),
        (json!({"roles": ["Audit User"], "scope": "audit:write"}), 200, 201),
        (json!({}), 403, 403),
    ] {
        let mut request = claims.clone();
        request["tenant"] = json!("acme");
        request["sub"] = json!("somebody");
        let token = stack.minted(request);
        let (got, posted) = (
            stack.get(&token, "/v1/events").await,
            stack.post(&token, "/v1/events", &login(json!({"type": "user", "name": "x"}))).await,
        );
        assert_eq!(
            (got.status.as_u16(), posted.status.as_u16()),
            (read, write),
            "{claims}: {} {}",
            got.text,
            posted.text
        );
        if read == 403 {
            assert_eq!(got.header("content-type"), "application/problem+json");
            assert!(got.body["detail"].as_str().unwrap().contains("audit:read"));
        }
    }
}

#[tokio::test]
async fn a_token_for_several_tenants_names_one() {
    let stack = Stack::start().await;
    let provider = stack.minted(json!({"tenants": ["acme", "bolt"], "sub": "msp", "scope": "audit:read audit:write"}));
    let event = login(json!({"type": "user", "name": "x"}));
    let without = stack.post(&provider, "/v1/events", &event).await;
    assert_eq!(without.status.as_u16(), 400);
    assert!(without.body["detail"].as_str().unwrap().contains("Audit-Tenant"));
    assert_eq!(
        send(stack.request("POST", "/v1/events").bearer_auth(&provider).header("Audit-Tenant", "bolt").json(&event))
            .await
            .body["tenant"],
        "bolt"
    );
    assert_eq!(
        send(stack.request("POST", "/v1/events").bearer_auth(&provider).header("Audit-Tenant", "cargo").json(&event))
            .await
            .status,
        404
    );
    assert_eq!(
        send(stack.request("POST", "/v1/events").bearer_auth(&provider).header("Audit-Tenant", "ACME").json(&event))
            .await
            .status,
        404
    );
    for (tenant, count) in [("acme", 0), ("bolt", 1)] {
        let listed =
            send(stack.request("GET", "/v1/events").bearer_auth(&provider).header("Audit-Tenant", tenant)).await.body;
        assert_eq!(listed["events"].as_array().unwrap().len(), count, "{tenant}");
    }
    let me = stack.get(&provider, "/v1/me").await.body;
    assert_eq!((&me["tenant"], &me["tenants"]), (&Value::Null, &json!(["acme", "bolt"])));
    // One tenant need not be named, but a foreign one is not found.
    let single = stack.reader("acme");
    assert_eq!(
        send(stack.request("GET", "/v1/events").bearer_auth(&single).header("Audit-Tenant", "acme")).await.status,
        200
    );
    assert_eq!(
        send(stack.request("GET", "/v1/events").bearer_auth(&single).header("Audit-Tenant", "bolt")).await.status,
        404
    );
}

#[tokio::test]
async fn a_phone_writes_events_of_its_own_user_only() {
    let stack = Stack::start().await;
    let phone =
        stack.minted(json!({"tenant": "acme", "sub": "u-1", "email": "Alex@Nikpot.com", "scope": "audit:self"}));
    for (actor, status) in [
        (json!({"type": "user", "email": "alex@nikpot.com"}), 201),
        (json!({"type": "user", "id": "u-1"}), 201),
        (json!({"type": "user", "id": "u-1", "email": "ALEX@nikpot.com", "name": "Alex"}), 201),
        (json!({"type": "user", "email": "boss@nikpot.com"}), 403),
        (json!({"type": "user", "id": "u-1", "email": "boss@nikpot.com"}), 403),
        (json!({"type": "user", "id": "u-2", "email": "alex@nikpot.com"}), 403),
        (json!({"type": "user", "id": "U-1"}), 403),
        (json!({"type": "user", "name": "u-1"}), 403),
        // The name would be what sentences show.
        (json!({"type": "user", "id": "u-1", "name": "boss@nikpot.com"}), 403),
        (json!({"type": "scm", "email": "alex@nikpot.com", "name": "boss"}), 403),
        (json!({"type": "service", "id": "u-1"}), 403),
    ] {
        let answer = stack.post(&phone, "/v1/events", &login(actor.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{actor}: {}", answer.text);
    }
    // In a list, one foreign event refuses the request, and nothing of it is stored.
    let own = |id: &str| {
        let mut event = login(json!({"type": "user", "id": "u-1"}));
        event["id"] = json!(id);
        event
    };
    let foreign = login(json!({"type": "user", "id": "u-2"}));
    let refused = stack.post(&phone, "/v1/events", &json!({"events": [own("own-1"), foreign]})).await;
    assert_eq!(refused.status.as_u16(), 403);
    assert!(refused.body["detail"].as_str().unwrap().contains("event 1"));
    assert_eq!(stack.get(&stack.reader("acme"), "/v1/events/own-1").await.status, 404);
    let taken = stack.post(&phone, "/v1/events", &json!({"events": [own("own-1"), {"action": "x"}]})).await;
    assert_eq!((&taken.body["created"], &taken.body["invalid"]), (&json!(1), &json!(1)));
    assert_eq!(stack.get(&phone, "/v1/events").await.status, 403);
}

#[tokio::test]
async fn an_address_that_is_not_verified_is_nobodys() {
    let stack = Stack::start().await;
    let token = |more: Value| {
        let mut claims =
            json!({"tenant": "acme", "sub": "u-1", "email": "alex@nikpot.com", "scope": "audit:self audit:read"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stack.minted(claims)
    };
    let by_address = login(json!({"type": "user", "email": "alex@nikpot.com"}));
    for (more, address, status) in [
        (json!({}), json!("alex@nikpot.com"), 201),
        (json!({"email_verified": true}), json!("alex@nikpot.com"), 201),
        (json!({"email_verified": false}), Value::Null, 403),
        // A sub is chosen by people in many places.
        (json!({"email_verified": false, "sub": "alex@nikpot.com"}), Value::Null, 403),
    ] {
        let token = token(more.clone());
        assert_eq!(stack.get(&token, "/v1/me").await.body["email"], address, "{more}");
        assert_eq!(stack.post(&token, "/v1/events", &by_address).await.status, status, "{more}");
    }
    let named = stack.minted(json!({"tenant": "acme", "sub": "boss@nikpot.com", "scope": "audit:self"}));
    let by_id = login(json!({"type": "user", "id": "boss@nikpot.com"}));
    assert_eq!(stack.post(&named, "/v1/events", &by_id).await.status, 403);
    let like = stack.minted(json!({"tenant": "acme", "sub": "u-2", "email": "ſam@nikpot.com", "scope": "audit:self"}));
    let as_sam = login(json!({"type": "user", "email": "sam@nikpot.com"}));
    assert_eq!(stack.post(&like, "/v1/events", &as_sam).await.status, 403);
    stack.stop().await;
}

#[tokio::test]
async fn a_deployment_names_the_claim_that_verifies_addresses() {
    let parameters = [("EmailVerifiedClaim".to_owned(), "email_verified".to_owned())].into();
    let stack = Stack::with(local::Options { parameters, ..tests::options() }).await;
    for (more, address) in [(json!({}), Value::Null), (json!({"email_verified": true}), json!("a@acme.example"))] {
        let mut claims = json!({"tenant": "acme", "sub": "u-1", "email": "a@acme.example", "scope": "audit:read"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(stack.get(&stack.minted(claims), "/v1/me").await.body["email"], address);
    }
    stack.stop().await;
}

#[tokio::test]
async fn the_trail_remembers_who_sent_an_event() {
    let stack = Stack::start().await;
    let portal = stack.minted(json!({"tenant": "acme", "sub": "portal-7", "client_id": "web", "scope": "audit:write"}));
    let posted = stack.post(&portal, "/v1/events", &login(json!({"type": "user", "name": "x"}))).await;
    assert_eq!(posted.body["recorded_by"], json!({"sub": "portal-7", "client_id": "web"}));
}

#[tokio::test]
async fn me_tells_a_caller_what_the_service_sees() {
    let stack = Stack::start().await;
    let token = stack
        .minted(json!({"tenant": "acme", "sub": "u-1", "email": "a@acme.example", "roles": ["Global Administrator"]}));
    let me = stack.get(&token, "/v1/me").await.body;
    assert_eq!(me["tenant"], "acme");
    assert_eq!(me["permissions"], json!(["read", "operate", "admin"]));
    assert_eq!(
        (&me["email"], &me["zone"], &me["retention_days"]),
        (&json!("a@acme.example"), &json!("UTC"), &json!(400))
    );
}
