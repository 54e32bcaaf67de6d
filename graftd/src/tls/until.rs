//! A connection that ends when the certificate of its other side does: TLS looks at a certificate in the handshake and never again, and connections of
//! members and workers last for months.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use x509_parser::time::ASN1Time;

use super::pem::expiry;

/// A stream that can be read until then.
pub struct Until<S> {
    stream: S,
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> Until<S> {
    /// Lasts as long as this certificate, or, without one, as it wants.
    ///
    /// # Errors
    /// The certificate does not say until when it is good.
    pub fn certificate(stream: S, cert: Option<&CertificateDer<'_>>) -> Result<Self, String> {
        let left = |end: ASN1Time| Duration::from_secs(end.timestamp().saturating_sub(ASN1Time::now().timestamp()).try_into().unwrap_or(0));
        Ok(Self::at_most(stream, cert.map(expiry).transpose()?.map(left)))
    }

    fn at_most(stream: S, left: Option<Duration>) -> Self {
        Self { stream, end: left.map(|left| Box::pin(sleep(left))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Until<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Whoever serves a connection always reads, also while it answers.
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the certificate of the other side has expired")));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Until<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_read_until_its_certificate_ends_also_by_who_waits() {
        let (mut other, stream) = duplex(8);
        let mut stream = Until::at_most(stream, Some(Duration::from_secs(3_600)));
        other.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        let began = tokio::time::Instant::now();
        let ended = stream.read_u8().await.unwrap_err();
        assert_eq!((ended.kind(), began.elapsed().as_secs()), (io::ErrorKind::ConnectionAborted, 3_600));
        let mut without = Until::at_most(other, None);
        assert!(tokio::time::timeout(Duration::from_secs(1_000_000), without.read_u8()).await.is_err());
    }
}
