// Early data is not taken, and whoever sends it on the word of another server is served all the same.
#include <gtest/gtest.h>
#include <openssl/err.h>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

using testing::shakeHands;

class EarlyDataTest : public ServerFixture {
 protected:
  // A session of a server that is none of ours and takes early data.
  testing::SessionPtr sessionOfAnother() const {
    const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
    const auto certificate = ca_.issue({"imap.example.org"});
    SSL_CTX_use_cert_and_key(context.get(), certificate->leaf(), certificate->key(), nullptr, 1);
    SSL_CTX_set_max_early_data(context.get(), SSL3_RT_MAX_PLAIN_LENGTH);
    SslPtr server(SSL_new(context.get()));
    SSL_set_accept_state(server.get());
    return std::move(shakeHands(std::move(server), to("imap.example.org")).session);
  }

  // What the server hears of a client that sends `early` before the handshake and "after" behind it.
  std::string heard(SSL_SESSION* session, const std::string& early) {
    const SslCtxPtr clients(SSL_CTX_new(TLS_client_method()));
    const SslPtr client(SSL_new(clients.get()));
    std::string name = "imap.example.org";
    SSL_ctrl(client.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    SSL_set_session(client.get(), session);
    SSL_set_connect_state(client.get());
    const auto ours = context();
    const SslPtr server = ours->newConnection();
    BIO *clientEnd = nullptr, *serverEnd = nullptr;
    BIO_new_bio_pair(&clientEnd, 1 << 17, &serverEnd, 1 << 17);
    SSL_set_bio(client.get(), clientEnd, clientEnd);
    SSL_set_bio(server.get(), serverEnd, serverEnd);

    std::size_t size = 0;
    EXPECT_EQ(SSL_write_early_data(client.get(), early.data(), early.size(), &size), 1);
    int here = 0, there = 0;
    for (int round = 0; round < 10 && (here != 1 || there != 1); ++round) {
      ERR_clear_error();
      if (there != 1) there = SSL_do_handshake(server.get());
      if (here != 1) here = SSL_do_handshake(client.get());
    }
    EXPECT_EQ(here, 1);
    EXPECT_EQ(there, 1);
    EXPECT_EQ(SSL_get_early_data_status(client.get()), SSL_EARLY_DATA_REJECTED);
    EXPECT_EQ(SSL_write_ex(client.get(), "after", 5, &size), 1);
    std::string bytes(100, '\0');
    ERR_clear_error();
    size = 0;
    SSL_read_ex(server.get(), bytes.data(), bytes.size(), &size);
    ERR_clear_error();
    bytes.resize(size);
    return bytes;
  }
};

TEST_F(EarlyDataTest, OfATicketOfAnotherServerIsPassedOver) {
  const auto session = sessionOfAnother();
  ASSERT_TRUE(session);
  ASSERT_EQ(SSL_SESSION_get_max_early_data(session.get()), static_cast<unsigned>(SSL3_RT_MAX_PLAIN_LENGTH));
  for (const std::size_t size : {16U, 16384U}) {
    const testing::SessionPtr copy(SSL_SESSION_dup(session.get()));
    EXPECT_EQ(heard(copy.get(), std::string(size, 'e')), "after") << size;
  }
}

}  // namespace
}  // namespace postern::tls
