//! Real handshakes over loopback, with certificates that are made here.

use std::path::Path;
use std::time::Duration;

use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use graft_proto::peer::v1::peer_service_server::{PeerService, PeerServiceServer};
use graft_proto::peer::v1::{
    ChangeRequest, ChangeResponse, DrainRequest, DrainResponse, FormedRequest, FormedResponse, JoinRequest, JoinResponse, PeerHello,
    PromiseRequest, PromiseResponse, ProposeRequest, ProposeResponse, RaftMessage, ReadIndexRequest, ReadIndexResponse, ReportRequest,
    ReportResponse, SnapshotChunk,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::tls::{LOOK_EVERY, authority};

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(20);
const LINK: LinkOptions = LinkOptions { connect: PATIENCE, request: Some(PATIENCE), keepalive: None, windows: None };

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The files of a member, in a folder.
fn files(folder: &Path, authority: &CertifiedIssuer<'static, KeyPair>, uris: &[&str]) -> MaterialFiles {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    let cert = params.signed_by(&key, authority).unwrap();
    let files = MaterialFiles { ca: folder.join("ca.pem"), cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.ca, authority.pem()).unwrap();
    std::fs::write(&files.cert, cert.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    files
}

fn identity(cluster: &str, member: &str) -> MemberIdentity {
    MemberIdentity { cluster: cluster.to_owned(), member: member.to_owned() }
}

/// A member with files of its own.
struct Member {
    security: PeerSecurity,
    files: MaterialFiles,
    me: MemberIdentity,
    _folder: TempDir,
}

impl Member {
    fn new(authority: &CertifiedIssuer<'static, KeyPair>, cluster: &str, member: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let me = identity(cluster, member);
        let files = files(folder.path(), authority, &[&me.uri()]);
        let security = PeerSecurity::tls(files.clone(), me.clone()).unwrap();
        Self { security, files, me, _folder: folder }
    }

    /// Listens, and answers greetings with who the caller is.
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = PeerServiceServer::new(Echo(self.me.clone()));
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming(listener, self.security.clone())));
        address
    }

    /// Greets whoever listens there; who the other side saw, or why there was no answer.
    async fn greet(&self, address: &str, meant: Option<&str>) -> Result<PeerHello, String> {
        greet(&self.security, address, meant).await
    }
}

async fn greet(security: &PeerSecurity, address: &str, meant: Option<&str>) -> Result<PeerHello, String> {
    let dialed = security.dial(address, meant, LINK).unwrap();
    match PeerServiceClient::new(dialed.channel.clone()).greet(PeerHello::default()).await {
        Ok(hello) => {
            let hello = hello.into_inner();
            assert!(dialed.is_called(&hello.cluster_name, &hello.version), "the certificate of the other side names it");
            Ok(hello)
        }
        Err(status) => {
            let mut told = format!("{status:?}");
            let mut cause = std::error::Error::source(&status);
            while let Some(error) = cause {
                told = format!("{told}: {error}");
                cause = error.source();
            }
            Err(told)
        }
    }
}

/// Tells the caller who it is, and who this is.
struct Echo(MemberIdentity);

#[tonic::async_trait]
impl PeerService for Echo {
    async fn greet(&self, request: Request<PeerHello>) -> Result<Response<PeerHello>, Status> {
        let seen = match request.extensions().get::<PeerCaller>() {
            Some(PeerCaller::Member(member)) => member.member.clone(),
            Some(PeerCaller::Anybody) => "anybody".to_owned(),
            None => return Err(Status::internal("the connection does not know its other side")),
        };
        let (cluster_name, version) = (self.0.cluster.clone(), self.0.member.clone());
        Ok(Response::new(PeerHello { cluster_name, version, member_name: seen, ..PeerHello::default() }))
    }

    async fn promise(&self, _: Request<PromiseRequest>) -> Result<Response<PromiseResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn formed(&self, _: Request<FormedRequest>) -> Result<Response<FormedResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn change(&self, _: Request<ChangeRequest>) -> Result<Response<ChangeResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    type AppendStream = tokio_stream::Empty<Result<RaftMessage, Status>>;

    async fn append(&self, _: Request<Streaming<RaftMessage>>) -> Result<Response<Self::AppendStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn call(&self, _: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn snapshot(&self, _: Request<Streaming<SnapshotChunk>>) -> Result<Response<RaftMessage>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn propose(&self, _: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn read_index(&self, _: Request<ReadIndexRequest>) -> Result<Response<ReadIndexResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tokio::test]
async fn two_members_know_each_other_by_name() {
    let authority = authority();
    let (a, b) = (Member::new(&authority, "demo", "a"), Member::new(&authority, "demo", "b"));
    let address = b.listen().await;
    assert_eq!(a.greet(&address, Some("b")).await.unwrap().member_name, "a");
    assert_eq!(a.greet(&address, None).await.unwrap().member_name, "a");
    let wrong = a.greet(&address, Some("c")).await.unwrap_err();
    assert!(wrong.contains("member c was meant, and b answers there"), "{wrong}");
}

#[tokio::test]
async fn who_has_no_certificate_of_the_authority_and_the_cluster_is_not_heard() {
    let authority_ = authority();
    let b = Member::new(&authority_, "demo", "b");
    let address = b.listen().await;
    // Nothing at all.
    greet(&PeerSecurity::Plain, &address, None).await.unwrap_err();
    // Of another authority: each side refuses the other.
    Member::new(&authority(), "demo", "a").greet(&address, None).await.unwrap_err();
    // Of the same authority, and another cluster.
    let refused = Member::new(&authority_, "other", "a").greet(&address, None).await.unwrap_err();
    assert!(refused.contains("the other side is member b of cluster demo"), "{refused}");
    // The one that listens looks at the cluster as well, not only the one that calls.
    let PeerSecurity::Tls(tls) = &b.security else { unreachable!() };
    let foreign = Member::new(&authority_, "other", "a");
    let PeerSecurity::Tls(other) = &foreign.security else { unreachable!() };
    let cert = rustls::pki_types::pem::PemObject::from_pem_file(&foreign.files.cert).unwrap();
    assert!(accept::shown(tls, Some(&[cert])).unwrap_err().contains("member a of cluster other"));
    assert!(accept::shown(other, None).unwrap_err().contains("no certificate"));
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart_and_one_that_does_not_fit_is_not() {
    let authority_ = authority();
    let (a, b) = (Member::new(&authority_, "demo", "a"), Member::new(&authority_, "demo", "b"));
    let address = b.listen().await;
    let PeerSecurity::Tls(tls) = &b.security else { unreachable!() };
    let before = tls.0.stamp();
    // Somebody else's certificate does not fit: the old one stays.
    files(b.files.cert.parent().unwrap(), &authority_, &["graft://demo/members/c"]);
    assert_ne!(tls.0.stamp(), before, "a change is seen");
    tls.0.reload();
    a.greet(&address, Some("b")).await.unwrap();
    // One of another authority that fits by itself is taken: from now on the other member is a stranger.
    files(b.files.cert.parent().unwrap(), &authority(), &[&b.me.uri()]);
    tls.0.reload();
    a.greet(&address, Some("b")).await.unwrap_err();
    files(b.files.cert.parent().unwrap(), &authority_, &[&b.me.uri()]);
    tls.0.reload();
    a.greet(&address, Some("b")).await.unwrap();
}

#[test]
fn files_that_do_not_fit_are_named_with_what_is_wrong() {
    let (authority_, folder) = (authority(), tempfile::tempdir().unwrap());
    let me = identity("demo", "a");
    let refused = |files: &MaterialFiles| PeerSecurity::tls(files.clone(), me.clone()).map(|_| ()).unwrap_err();
    let good = files(folder.path(), &authority_, &[&me.uri()]);
    PeerSecurity::tls(good.clone(), me.clone()).unwrap();
    let absent = MaterialFiles { key: folder.path().join("no.pem"), ..good.clone() };
    assert!(refused(&absent).to_string().contains("no.pem: holds no private key"), "{}", refused(&absent));
    let swapped = MaterialFiles { cert: good.key.clone(), ..good.clone() };
    assert!(refused(&swapped).why.contains("holds no certificate"), "{}", refused(&swapped));
    for (uris, why) in [
        (&["graft://demo/members/b"][..], "is of member b of cluster demo, and this is member a of cluster demo"),
        (&[], "names no member of a cluster; its URI has to be graft://demo/members/a"),
        (&["graft://demo/members/a", "graft://demo/members/b"], "names several members"),
    ] {
        let error = refused(&files(folder.path(), &authority_, uris));
        assert!(error.why.contains(why), "{error}");
    }
    let of_another = tempfile::tempdir().unwrap();
    let stranger = files(of_another.path(), &authority(), &[&me.uri()]);
    let error = refused(&MaterialFiles { ca: good.ca.clone(), ..stranger.clone() });
    assert!(error.why.contains("was not made by the authority"), "{error}");
    files(folder.path(), &authority_, &[&me.uri()]);
    let error = refused(&MaterialFiles { key: stranger.key, ..good });
    assert!(error.why.contains("does not belong to the certificate"), "{error}");
}

#[tokio::test]
async fn members_of_one_authority_that_was_kept_in_files_know_each_other() {
    let (_, kept) = authority::Authority::create("demo").unwrap();
    let made = authority::Authority::read(&kept).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let member = |name: &str| {
        let me = identity("demo", name);
        let issued = made.issue(&authority::Subject::member(&me), authority::CERTIFICATE_DAYS).unwrap();
        let file = |what: &str| folder.path().join(format!("{name}-{what}.pem"));
        let files = MaterialFiles { ca: file("ca"), cert: file("cert"), key: file("key") };
        for (file, text) in [(&files.ca, &kept.cert), (&files.cert, &issued.cert), (&files.key, &issued.key)] {
            std::fs::write(file, text).unwrap();
        }
        PeerSecurity::tls(files, me).unwrap()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = PeerServiceServer::new(Echo(identity("demo", "b")));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming(listener, member("b"))));
    assert_eq!(greet(&member("a"), &address, Some("b")).await.unwrap().member_name, "a");
    // The key of another is not the authority's.
    let (_, other) = authority::Authority::create("demo").unwrap();
    let stranger = authority::Authority::read(&other).unwrap().issue(&authority::Subject::member(&identity("demo", "a")), 1).unwrap();
    std::fs::write(folder.path().join("a-cert.pem"), stranger.cert).unwrap();
    let files =
        MaterialFiles { ca: folder.path().join("a-ca.pem"), cert: folder.path().join("a-cert.pem"), key: folder.path().join("a-key.pem") };
    assert!(PeerSecurity::tls(files, identity("demo", "a")).unwrap_err().why.contains("was not made by the authority"));
}

#[tokio::test(start_paused = true)]
async fn files_that_change_are_taken_without_being_told() {
    let authority_ = authority();
    let b = Member::new(&authority_, "demo", "b");
    let PeerSecurity::Tls(tls) = &b.security else { unreachable!() };
    let before = tls.current();
    let following = tokio::spawn(b.security.clone().follow());
    tokio::task::yield_now().await; // it has seen the files as they are
    files(b.files.cert.parent().unwrap(), &authority_, &[&b.me.uri()]);
    while Arc::ptr_eq(&before, &tls.current()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    following.abort();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_in_time_and_holds_nobody_up() {
    let authority_ = authority();
    let (a, b) = (Member::new(&authority_, "demo", "a"), Member::new(&authority_, "demo", "b"));
    let address = b.listen().await;
    let mut silent = tokio::net::TcpStream::connect(&address).await.unwrap();
    a.greet(&address, Some("b")).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut rest);
    tokio::time::timeout(PATIENCE, read).await.expect("it is closed").ok();
}
