use super::*;
use serde_json::json;
use shared_domain::trail::event::Event;

fn access() -> Access {
    access_with("")
}

fn access_with(verified: &str) -> Access {
    let variables = [
        ("EMAIL_VERIFIED_CLAIM", verified),
        ("TENANT_CLAIM", "https://idp.example/tenant"),
        ("EMAIL_CLAIM", "email"),
        ("ROLE_CLAIM", "roles"),
        ("ROLE_MAP", r#"{"Audit User": ["read"], "Boss": ["read", "operate", "admin"]}"#),
        ("READ_SCOPE", "jit-audit/read"),
        ("WRITE_SCOPE", "jit-audit/write"),
        ("SELF_SCOPE", "jit-audit/self"),
        ("OPERATE_SCOPE", "jit-audit/operate"),
        ("ADMIN_SCOPE", "jit-audit/admin"),
    ];
    Access::from_variables(
        &variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into_iter().collect(),
    )
    .unwrap()
}

/// A request with this Authorization header; the gateway verified the claims, if they are not null.
fn request(authorization: &str, verified: &Value) -> Request {
    let mut request = Request {
        verified_claims: serde_json::from_value(verified.clone()).unwrap(),
        ..Request::default()
    };
    request.headers.insert("authorization", authorization.parse().unwrap());
    request
}

fn caller_of(claims: Value) -> Result<Caller, Problem> {
    access().caller_of(claims.as_object().unwrap())
}

#[test]
fn scopes_and_roles_are_read_in_every_form_issuers_write_them() {
    use Permission::{Admin, Operate, Read, Write};
    for (claims, permissions) in [
        (json!({"scope": "jit-audit/read jit-audit/write"}), vec![Read, Write]),
        (json!({"scp": "jit-audit/read"}), vec![Read]),
        (json!({"scp": ["jit-audit/write", "jit-audit/read"]}), vec![Read, Write]),
        (json!({"scope": ["jit-audit/read"]}), vec![Read]),
        (json!({"roles": ["Boss", "Audit User"]}), vec![Read, Operate, Admin]),
        (json!({"roles": "Audit User"}), vec![Read]),
        (json!({"roles": ["Audit", "User"], "scope": "audit:read read [jit-audit/read]"}), vec![]),
        (json!({"scope": 7, "roles": {"Boss": true}}), vec![]),
    ] {
        let mut claims = claims;
        claims["sub"] = json!("s");
        claims["https://idp.example/tenant"] = json!("acme");
        assert_eq!(caller_of(claims.clone()).unwrap().permissions, permissions, "{claims}");
    }
}

#[test]
fn an_address_counts_where_the_issuer_verified_it() {
    for (verified, more, counts) in [
        ("", json!({}), true),
        ("", json!({"email_verified": true}), true),
        ("", json!({"email_verified": "true"}), true),
        ("", json!({"email_verified": false}), false),
        ("", json!({"email_verified": "false"}), false),
        ("", json!({"email_verified": null}), false),
        ("", json!({"xms_edov": false}), true),
        ("email_verified", json!({}), false),
        ("email_verified", json!({"email_verified": true}), true),
        ("xms_edov", json!({}), false),
        ("xms_edov", json!({"xms_edov": "1"}), true),
        ("xms_edov", json!({"xms_edov": 1}), true),
        ("xms_edov", json!({"xms_edov": "0"}), false),
        ("xms_edov", json!({"xms_edov": true, "email_verified": false}), false),
    ] {
        let mut claims =
            json!({"sub": "s", "email": "ann@acme.example", "https://idp.example/tenant": "acme"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let caller = access_with(verified).caller_of(claims.as_object().unwrap()).unwrap();
        assert_eq!(caller.email.is_some(), counts, "{verified:?} {claims}");
        // A user whose e-mail address may not be used is still a user, not a machine.
        assert_eq!((caller.is_machine, caller.actor().kind), (false, ActorType::User), "{claims}");
    }
    let machine = caller_of(json!({"sub": "s", "https://idp.example/tenant": "acme"})).unwrap();
    assert_eq!((machine.is_machine, machine.actor().kind), (true, ActorType::Service));
}

#[test]
fn an_event_is_ones_own_by_the_sub_or_the_verified_address() {
    let own = |claims: Value, actor: Value| {
        let mut claims = claims;
        claims["https://idp.example/tenant"] = json!("acme");
        let actor: Actor = serde_json::from_value(actor).unwrap();
        let id = shared_platform::random::event_id();
        let tenant = Tenant::new("acme").unwrap();
        let at = shared_domain::time::timestamp::Instant::from_millis(0);
        caller_of(claims).unwrap().is_actor_of(&Event::of_service(
            id,
            &tenant,
            "user.logged_in",
            at,
            actor,
        ))
    };
    let ann = json!({"sub": "s-1", "email": "ann@acme.example"});
    for (claims, actor, is_own) in [
        (&ann, json!({"type": "user", "id": "s-1"}), true),
        (&ann, json!({"type": "user", "email": "ANN@acme.example"}), true),
        (&ann, json!({"type": "user", "id": "Ann@acme.example"}), true),
        (&ann, json!({"type": "user", "id": "s-1", "email": "bob@acme.example"}), false),
        (&ann, json!({"type": "user", "id": "S-1"}), false),
        (
            &json!({"sub": "s-1", "email": "sam@acme.example"}),
            json!({"type": "user", "email": "ſam@acme.example"}),
            false,
        ),
        (
            &json!({"sub": "ann@acme.example"}),
            json!({"type": "user", "id": "ann@acme.example"}),
            false,
        ),
        (
            &json!({"sub": "ann＠acme.example"}),
            json!({"type": "user", "id": "ann＠acme.example"}),
            false,
        ),
        (
            &json!({"sub": "ann@acme.example", "email": "ann@acme.example"}),
            json!({"type": "user", "id": "ann@acme.example"}),
            true,
        ),
        (
            &json!({"sub": "ann@acme.example", "email": "ann@acme.example", "email_verified": false}),
            json!({"type": "user", "id": "ann@acme.example"}),
            false,
        ),
    ] {
        assert_eq!(own(claims.clone(), actor.clone()), is_own, "{claims} {actor}");
    }
}

#[test]
fn a_token_without_subject_or_usable_tenant_is_refused() {
    for claims in [
        json!({"https://idp.example/tenant": "acme"}),
        json!({"sub": "", "https://idp.example/tenant": "acme"}),
        json!({"sub": "s"}),
        json!({"sub": "s", "tenant": "acme"}),
        json!({"sub": "s", "https://idp.example/tenant": []}),
        json!({"sub": "s", "https://idp.example/tenant": 7}),
        json!({"sub": "s", "https://idp.example/tenant": ["acme", "a#b"]}),
        json!({"sub": "s", "https://idp.example/tenant": "acme bolt"}),
    ] {
        assert_eq!(caller_of(claims.clone()).unwrap_err().status, 403, "{claims}");
    }
}

#[test]
fn nothing_is_believed_that_no_authorizer_verified() {
    let claims = json!({"iss": "i", "sub": "s", "https://idp.example/tenant": "acme"});
    let token = format!("Bearer h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let caller = |verified: &Value| access().caller(&request(&token, verified));
    let tenant = "https://idp.example/tenant";
    assert!(caller(&json!({"iss": "i", "sub": "s", tenant: "acme"})).is_ok());
    for verified in [
        json!(null),
        json!({}),
        json!({"iss": "i", "sub": "other", tenant: "acme"}),
        json!({"iss": "i", "sub": "s"}),
        json!({"iss": "i", "sub": "s", tenant: "other"}),
        json!({"iss": "i", "sub": "s", tenant: "acme", "scope": "jit-audit/read"}),
    ] {
        assert_eq!(caller(&verified).unwrap_err().status, 403, "{verified}");
    }
}

#[test]
fn every_verified_claim_is_compared_with_the_tokens() {
    let tenant = "https://idp.example/tenant";
    let claims = json!({
        "iss": "i", "sub": "s", tenant: ["acme", "globex"], "scope": "jit-audit/read", "exp": 1_900_000_000, "f": 1.5, "t": true,
        "roles": ["Audit User"], "address": {"country": "FR"}, "amr": ["pwd", 1],
    });
    let verified = json!({
        "iss": "i", "sub": "s", tenant: "[acme globex]", "scope": "jit-audit/read", "exp": "1900000000", "f": "1.5", "t": "true",
        "roles": "[Audit User]", "address": "map[country:FR]", "amr": "[pwd 1]",
    });
    let caller = |authorization: String, verified: &Value| {
        access().caller(&request(&authorization, verified))
    };
    let token =
        |claims: &Value| format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    let good = format!("Bearer {}", token(&claims));
    assert_eq!(caller(good.clone(), &verified).unwrap().tenants.len(), 2);
    // Numbers in the format of Go.
    let mut by_go = verified.clone();
    by_go["exp"] = json!("1.9e+09");
    assert!(caller(good.clone(), &by_go).is_ok());
    for (name, value) in [
        (tenant, json!("[acme]")),
        (tenant, json!("[acme other]")),
        ("scope", json!("jit-audit/admin")),
        ("exp", json!("1900000001")),
        ("t", json!("false")),
        ("roles", json!("[Boss]")),
        ("jti", json!("another")),
    ] {
        let mut other = verified.clone();
        other[name] = value;
        assert_eq!(caller(good.clone(), &other).unwrap_err().status, 403, "{name}");
    }
    // A claim that this service reads and the gateway did not verify.
    for (name, value) in [
        ("email", json!("boss@acme.example")),
        ("scp", json!("jit-audit/admin")),
        ("azp", json!("x")),
    ] {
        let mut more = claims.clone();
        more[name] = value;
        assert_eq!(caller(token(&more), &verified).unwrap_err().status, 403, "{name}");
    }
    for two in [
        format!("{good},{good}"),
        format!("{good}, Bearer x"),
        format!("Bearer x,{good}"),
        format!("{good},"),
    ] {
        let problem = caller(two, &verified).unwrap_err();
        assert!(problem.status == 403 && problem.detail.contains("more than one"), "{problem:?}");
    }
}

#[test]
fn a_machine_alone_may_name_for_whom_it_acts() {
    let named = || {
        Some(Actor {
            kind: ActorType::User,
            id: None,
            name: None,
            email: Some("ann@acme.example".into()),
        })
    };
    let caller = |email: Value| {
        caller_of(json!({"sub": "s", "https://idp.example/tenant": "acme", "email": email}))
            .unwrap()
    };
    let machine = caller(Value::Null);
    assert_eq!(acting_as(&machine, named()).unwrap().shown(), "ann@acme.example");
    assert_eq!(acting_as(&machine, None).unwrap().shown(), "s");
    assert_eq!(acting_as(&machine, Some(Actor::system())).unwrap_err().status, 422);
    // A token with an e-mail claim is a person's, even if the address may not be used.
    for email in [json!("bob@acme.example"), json!(""), json!(7)] {
        let person = caller(email.clone());
        assert_eq!(acting_as(&person, named()).unwrap_err().status, 403, "{email}");
        assert_eq!(acting_as(&person, Some(Actor::system())).unwrap_err().status, 403, "{email}");
        assert_eq!(acting_as(&person, None).unwrap(), person.actor());
    }
}

#[test]
fn wrong_configuration_says_which_variable() {
    assert!(
        Access::from_variables(&Variables::default()).unwrap_err().to_string().contains("ROLE_MAP")
    );
}
