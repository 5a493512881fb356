// Peers that ask for new keys and never come to the point: by records that no TLS library of a client would write.
#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "tests/tls/server_fixture.h"

namespace postern::tls {
namespace {

std::string derived(const char* algorithm, const OSSL_PARAM* parameters, std::size_t size) {
  const Owned<EVP_KDF, EVP_KDF_free> kdf(EVP_KDF_fetch(nullptr, algorithm, nullptr));
  const Owned<EVP_KDF_CTX, EVP_KDF_CTX_free> context(EVP_KDF_CTX_new(kdf.get()));
  std::string bytes(size, '\0');
  EXPECT_EQ(EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(bytes.data()), size, parameters), 1)
      << drainErrors();
  return bytes;
}

std::string sealed(const std::string& key, const std::string& nonce, const std::string& header, std::string words) {
  const Owned<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free> context(EVP_CIPHER_CTX_new());
  const auto bytes = [](const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); };
  std::string output(words.size() + 16, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(output.data());
  int size = 0, none = 0;
  EXPECT_EQ(EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, bytes(key), bytes(nonce)), 1);
  EXPECT_EQ(EVP_EncryptUpdate(context.get(), nullptr, &none, bytes(header), static_cast<int>(header.size())), 1);
  EXPECT_EQ(EVP_EncryptUpdate(context.get(), out, &size, bytes(words), static_cast<int>(words.size())), 1);
  EXPECT_EQ(EVP_EncryptFinal_ex(context.get(), out + size, &none), 1);
  EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, out + words.size()), 1);
  return output;
}

std::string number(std::uint64_t value, std::size_t size) {
  std::string bytes(size, '\0');
  for (auto at = bytes.rbegin(); at != bytes.rend(); ++at, value >>= 8) *at = static_cast<char>(value & 0xff);
  return bytes;
}

class NewKeysTest : public ServerFixture {
 protected:
  // What the server makes of all that was sent: data, or "" when there is none.
  static std::string read(SSL* server) {
    std::string bytes(1 << 14, '\0');
    std::size_t size = 0;
    ERR_clear_error();
    if (SSL_read_ex(server, bytes.data(), bytes.size(), &size) != 1) size = 0;
    bytes.resize(size);
    if (size != 0) dataCame(server);
    return bytes;
  }
  static bool isOver(SSL* server) {
    char byte = 0;
    return SSL_get_error(server, SSL_read(server, &byte, 1)) == SSL_ERROR_ZERO_RETURN;
  }
  static void put(SSL* client, const std::string& record) {
    ASSERT_EQ(BIO_write(SSL_get_wbio(client), record.data(), static_cast<int>(record.size())),
              static_cast<int>(record.size()));
  }
};

// RFC 5246 section 6.3 and RFC 5288 section 3: what a client sends after its Finished.
class Tls12Records {
 public:
  explicit Tls12Records(SSL* client) {
    std::array<unsigned char, 48> master{};
    std::array<unsigned char, 64> seed{};
    SSL_SESSION_get_master_key(SSL_get_session(client), master.data(), master.size());
    SSL_get_server_random(client, seed.data(), 32);
    SSL_get_client_random(client, seed.data() + 32, 32);
    char digest[] = "SHA256", label[] = "key expansion";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master.data(), master.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label, sizeof label - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed.data(), seed.size()), OSSL_PARAM_construct_end()};
    const std::string block = derived("TLS1-PRF", parameters, 40);
    key_ = block.substr(0, 16);
    salt_ = block.substr(32, 4);
  }
  std::string record(char type, const std::string& words) {
    const std::string sequence = number(++sequence_, 8), kind = std::string(1, type) + "\x03\x03";
    const std::string body =
        sequence + sealed(key_, salt_ + sequence, sequence + kind + number(words.size(), 2), words);
    return kind + number(body.size(), 2) + body;
  }

 private:
  std::string key_, salt_;
  std::uint64_t sequence_ = 0;  // of the Finished
};

// RFC 8446 sections 5.2 and 7.2, from the secret on that a client's data begins with.
class Tls13Records {
 public:
  explicit Tls13Records(std::string secret) : secret_(std::move(secret)) {}
  std::string record(char type, const std::string& words) {
    std::string nonce = expanded("iv", 12);
    const std::string sequence = number(sequence_++, 12);
    std::transform(nonce.begin(), nonce.end(), sequence.begin(), nonce.begin(),
                   [](char a, char b) { return static_cast<char>(a ^ b); });
    const std::string header = "\x17\x03\x03" + number(words.size() + 17, 2);
    return header + sealed(expanded("key", 16), nonce, header, words + type);
  }
  void update() {
    secret_ = expanded("traffic upd", 32);
    sequence_ = 0;
  }

 private:
  std::string expanded(const std::string& label, std::size_t size) {
    char digest[] = "SHA256";
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    std::string info = number(size, 2) + number(6 + label.size(), 1) + "tls13 " + label + '\0';
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret_.data(), secret_.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()), OSSL_PARAM_construct_end()};
    return derived("HKDF", parameters, size);
  }

  std::string secret_;
  std::uint64_t sequence_ = 0;
};

TEST_F(NewKeysTest, OfARenegotiationAreRefusedAFewTimesAndThenTheConnectionEnds) {
  auto options = to("");
  options.newest = TLS1_2_VERSION;
  options.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
  auto done = testing::shakeHands(*context(), options);
  ASSERT_EQ(done.cipher, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
  SSL* const server = done.server.get();
  Tls12Records records(done.client.get());
  // A ClientHello without extensions, of one cipher.
  const std::string body = std::string("\x03\x03") + std::string(32, 'r') + number(0, 1) + number(2, 2) +
                           std::string("\xc0\x2b") + number(1, 1) + number(0, 1);
  const std::string hello = "\x01" + number(body.size(), 3) + body;
  const auto answered = [&] { return BIO_ctrl_pending(SSL_get_rbio(done.client.get())); };

  // Data in between shows that somebody is at work, who has not understood.
  for (unsigned round = 0; round < 2; ++round) {
    for (int i = 0; i < 32; ++i) put(done.client.get(), records.record(SSL3_RT_HANDSHAKE, hello));
    put(done.client.get(), records.record(SSL3_RT_APPLICATION_DATA, "a NOOP"));
    EXPECT_EQ(read(server), "a NOOP");
    EXPECT_EQ(answered(), (round + 1) * 32 * 31u);  // an alert for each
  }
  for (int i = 0; i < 200; ++i) put(done.client.get(), records.record(SSL3_RT_HANDSHAKE, hello));
  put(done.client.get(), records.record(SSL3_RT_APPLICATION_DATA, "b NOOP"));
  EXPECT_EQ(read(server), "");
  EXPECT_TRUE(isOver(server));
  EXPECT_LE(answered(), 3 * 33 * 31u);
}

TEST_F(NewKeysTest, AreNotToBeHadForEverWithEmptyRecordsBetween) {
  static std::string secret;
  secret.clear();
  const auto server = context();
  SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(server->newConnection().get()), [](const SSL*, const char* line) {
    const std::string_view text(line), wanted = "CLIENT_TRAFFIC_SECRET_0 ";
    if (!text.starts_with(wanted)) return;
    for (auto at = text.rfind(' ') + 1; at + 1 < text.size(); at += 2)
      secret += static_cast<char>(std::stoi(std::string(text.substr(at, 2)), nullptr, 16));
  });
  auto options = to("");
  options.suites = "TLS_AES_128_GCM_SHA256";
  auto done = testing::shakeHands(*server, options);
  ASSERT_EQ(done.cipher, "TLS_AES_128_GCM_SHA256");
  ASSERT_EQ(secret.size(), 32u);
  Tls13Records records(secret);
  const auto update = [&] {
    put(done.client.get(), records.record(SSL3_RT_HANDSHAKE, "\x18" + number(1, 3) + number(1, 1)));
    records.update();
    put(done.client.get(), records.record(SSL3_RT_APPLICATION_DATA, ""));
  };
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 32; ++i) update();
    put(done.client.get(), records.record(SSL3_RT_APPLICATION_DATA, "a NOOP"));
    EXPECT_EQ(read(done.server.get()), "a NOOP");
  }
  for (int i = 0; i < 33; ++i) update();
  EXPECT_EQ(read(done.server.get()), "");
  EXPECT_TRUE(isOver(done.server.get()));
}

}  // namespace
}  // namespace postern::tls
