// Owners for OpenSSL's objects, and its error queue as text.
//
// Every object has one owner from the line that made it; a raw pointer parameter is borrowed and never kept. The error
// queue belongs to the thread: clear it before a call, drain it right after a failure.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace postern::tls {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* p) const noexcept {
    Free(p);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, FreeWith<Free>>;

using SslPtr = Owned<SSL, SSL_free>;
using SslCtxPtr = Owned<SSL_CTX, SSL_CTX_free>;
using KeyPtr = Owned<EVP_PKEY, EVP_PKEY_free>;
using CertPtr = Owned<X509, X509_free>;
using RequestPtr = Owned<X509_REQ, X509_REQ_free>;
using BioPtr = Owned<BIO, BIO_free_all>;

KeyPtr share(EVP_PKEY* key);  // one more reference, by name
CertPtr share(X509* certificate);

// For what reads PEM: else OpenSSL asks for the password of an encrypted block, at the terminal or of standard input.
int noPassword(char* password, int size, int writing, void* unused);

// The calling thread's error queue as one line, drained; "no reason given" when it is empty.
std::string drainErrors();

// A call to OpenSSL that failed, or PEM that says something wrong.
struct Error : std::runtime_error {
  using runtime_error::runtime_error;
};
// Throws Error{doing + ": " + drainErrors()}.
[[noreturn]] void fail(const std::string& doing);

}  // namespace postern::tls
