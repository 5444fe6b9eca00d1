// TLS with certificate files, made here.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>

#include "client.h"
#include "support/temp_dir.h"

namespace tessera::server {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Key new_key() {
  return {EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free};
}

void write_pem(const std::string& path, const std::function<int(BIO*)>& write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> file(BIO_new_file(path.c_str(), "w"), BIO_free);
  ASSERT_TRUE(file != nullptr && write(file.get()) == 1) << path;
}

/// A certificate of `key`, signed by itself, for localhost.
void write_certificate(const std::string& path, EVP_PKEY* key) {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  X509* c = certificate.get();
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
  X509_gmtime_adj(X509_getm_notBefore(c), -3600);
  X509_gmtime_adj(X509_getm_notAfter(c), 3600);
  X509_set_pubkey(c, key);
  X509_NAME* name = X509_get_subject_name(c);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"),
                             -1, -1, 0);
  X509_set_issuer_name(c, name);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost");
  X509_add_ext(c, names, -1);
  X509_EXTENSION_free(names);
  ASSERT_GT(X509_sign(c, key, EVP_sha256()), 0);
  write_pem(path, [&](BIO* file) { return PEM_write_bio_X509(file, c); });
}

class Tls : public ScriptedServer {
 protected:
  void SetUp() override {
    ScriptedServer::SetUp();
    certificate_ = dir_.file("cert.pem");
    private_key_ = dir_.file("key.pem");
    const Key key = new_key();
    ASSERT_TRUE(key != nullptr);
    write_certificate(certificate_, key.get());
    write_key(private_key_, key.get());
    options_.http.tls_cert_path = certificate_;
    options_.http.tls_key_path = private_key_;
  }
  static void write_key(const std::string& path, EVP_PKEY* key) {
    write_pem(path, [&](BIO* file) {
      return PEM_write_bio_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

  /// As a client that trusts this one certificate; "" when there was no connection.
  std::string ask_over_tls(const std::string& request, int most = TLS1_3_VERSION,
                           const std::string& name = "localhost") {
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                    SSL_CTX_free);
    SSL_CTX_load_verify_locations(context.get(), certificate_.c_str(), nullptr);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context.get(), most);
    Socket socket(port());
    const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), socket.fd());
    SSL_set1_host(tls.get(), name.c_str());
    if (SSL_connect(tls.get()) != 1) return {};
    SSL_write(tls.get(), request.data(), static_cast<int>(request.size()));
    std::string all;
    char part[4096];
    for (int n = 0; (n = SSL_read(tls.get(), part, sizeof part)) > 0;)
      all.append(part, static_cast<size_t>(n));
    ended_in_order_ = SSL_get_error(tls.get(), 0) == SSL_ERROR_ZERO_RETURN ||
                      (SSL_get_shutdown(tls.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
    return all;
  }

  const TempDir dir_;
  std::string certificate_, private_key_;
  bool ended_in_order_ = false;
};

TEST_F(Tls, AnswersAndStreams) {
  start();
  EXPECT_TRUE(server_->address().starts_with("https://"));
  EXPECT_EQ(parse_answer(ask_over_tls(request_text("GET", "/health"))).status, 200);
  EXPECT_TRUE(ended_in_order_);
  Script script;
  for (int i = 0; i < 200; ++i) script.events.push_back(text_event("some words "));
  model_->play(script);
  const Answer answer = parse_answer(ask_over_tls(
      request_text("POST", "/v1/chat/completions", dump({{"messages", user("hi")}, {"stream", true}}))));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.events().size(), 202U);
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(Tls, OldVersionsWrongNamesAndPlainTextAreRefused) {
  start();
  EXPECT_EQ(ask_over_tls(request_text("GET", "/health"), TLS1_1_VERSION), "");
  EXPECT_NE(ask_over_tls(request_text("GET", "/health"), TLS1_2_VERSION), "");
  EXPECT_EQ(ask_over_tls(request_text("GET", "/health"), TLS1_3_VERSION, "other.example"), "");
  Socket plain(port());
  plain.send(request_text("GET", "/health"));
  EXPECT_EQ(plain.receive_all(5000).find("HTTP/1.1 200"), std::string::npos);
  EXPECT_EQ(parse_answer(ask_over_tls(request_text("GET", "/health"))).status, 200);
}

TEST_F(Tls, HandshakesThatStopOrAreGarbageAreCutOff) {
  options_.http.header_timeout_ms = 300;
  start();
  Socket silent(port()), garbage(port());
  garbage.send(std::string("\x16\x03\x01\x00\xff garbage", 13));
  EXPECT_EQ(silent.receive(10, 5000), "");
  garbage.receive_all(5000);
  for (int i = 0; i < 50; ++i) {
    Socket leaving(port());
    leaving.send(std::string("\x16\x03\x01\x02", 4).substr(0, static_cast<size_t>(i % 5)));
    leaving.reset();
  }
  EXPECT_EQ(parse_answer(ask_over_tls(request_text("GET", "/health"))).status, 200);
}

TEST_F(Tls, FilesThatDoNotFitSaySo) {
  const auto why = [&](const std::string& certificate, const std::string& key) {
    options_.http.tls_cert_path = certificate;
    options_.http.tls_key_path = key;
    try {
      start();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string other = dir_.file("other.pem"), text = dir_.write("text.pem", "not a certificate");
  write_key(other, new_key().get());
  EXPECT_NE(why(certificate_, other).find("other.pem"), std::string::npos);
  EXPECT_NE(why(text, private_key_).find("text.pem"), std::string::npos);
  EXPECT_NE(why(certificate_, dir_.file("missing.pem")).find("missing.pem"), std::string::npos);
  EXPECT_EQ(why(certificate_, private_key_), "");
}

}  // namespace
}  // namespace tessera::server
