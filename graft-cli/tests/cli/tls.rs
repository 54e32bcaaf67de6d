//! Certificates for members, in files. That members take them is shown by the README's three members.

use std::os::unix::fs::PermissionsExt;

use crate::here::graft;

#[tokio::test]
async fn an_authority_is_made_once_and_certificates_are_replaced_only_if_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("tls");
    let tls = async |words: &[&str]| graft(&[&["tls"], words, &["--cluster", "demo", "--dir", dir.to_str().unwrap()]].concat()).await;
    let early = tls(&["issue", "m1"]).await;
    assert_eq!(early.code, 2, "{}", early.stderr);
    assert!(early.stderr.contains("ca.pem") && early.stderr.contains("graft tls init"), "{}", early.stderr);

    let made = tls(&["init"]).await;
    assert_eq!((made.code, made.stdout.as_str()), (0, ""), "{}", made.stderr);
    let mode = |file: &str| std::fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca.key"), mode("ca.pem")), (0o600, 0o644));
    let kept = std::fs::read(dir.join("ca.pem")).unwrap();
    // The authority of another cluster was copied here, and its key was not.
    let key = dir.join("ca.key");
    let own = std::fs::read(&key).unwrap();
    let (_, other) = graftd::tls::authority::Authority::create("other").unwrap();
    std::fs::write(&key, other.key).unwrap();
    let apart = tls(&["issue", "m1"]).await;
    assert!(apart.code != 0 && apart.stderr.contains("the key is not that of the certificate"), "{}", apart.stderr);
    std::fs::write(&key, own).unwrap();
    let again = tls(&["init"]).await;
    assert_eq!(again.code, 4, "{}", again.stderr);
    assert!(again.stderr.contains("is there already") && again.stderr.contains("strangers"), "{}", again.stderr);
    assert_eq!(std::fs::read(dir.join("ca.pem")).unwrap(), kept);

    let issued = tls(&["issue", "m1", "--days", "90"]).await;
    assert_eq!(issued.code, 0, "{}", issued.stderr);
    let told = ["member m1 of cluster demo, good for 90 days", "peer_ca = ", "peer_cert = ", "peer_key = "];
    assert!(told.iter().all(|part| issued.stderr.contains(part)), "{}", issued.stderr);
    assert_eq!((mode("m1.key"), mode("m1.pem")), (0o600, 0o644));
    let first = std::fs::read(dir.join("m1.pem")).unwrap();
    let again = tls(&["issue", "m1"]).await;
    assert!(again.code == 4 && again.stderr.contains("--replace"), "{}", again.stderr);
    assert_eq!(std::fs::read(dir.join("m1.pem")).unwrap(), first);
    assert_eq!(tls(&["issue", "m1", "--replace"]).await.code, 0);
    assert_ne!(std::fs::read(dir.join("m1.pem")).unwrap(), first);
    let second = std::fs::read(dir.join("m1.pem")).unwrap();
    for words in [&["init", "--keep"][..], &["issue", "m1", "--keep"]] {
        let kept = tls(words).await;
        assert!(kept.code == 0 && kept.stderr.contains("are there already, and stay"), "{}", kept.stderr);
    }
    assert_eq!((std::fs::read(dir.join("ca.pem")).unwrap(), std::fs::read(dir.join("m1.pem")).unwrap()), (kept, second));
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "nothing half-made stays: {left:?}");

    // Where the authority may only be read, and the files go elsewhere.
    let elsewhere = folder.path().join("elsewhere");
    let issued =
        graft(&["tls", "issue", "m2", "--cluster", "demo", "--authority", dir.to_str().unwrap(), "--dir", elsewhere.to_str().unwrap()])
            .await;
    assert_eq!(issued.code, 0, "{}", issued.stderr);
    assert!(issued.stderr.contains(&format!("peer_ca = {:?}", dir.join("ca.pem").to_str().unwrap())), "{}", issued.stderr);
    assert!(elsewhere.join("m2.pem").exists() && elsewhere.join("m2.key").exists() && !dir.join("m2.pem").exists());

    for (member, why) in [("a b", "is no name"), ("", "is no name"), ("ca", "the authority's")] {
        let refused = tls(&["issue", member]).await;
        assert!(refused.code == 2 && refused.stderr.contains(why), "{member}: {}", refused.stderr);
    }
}
