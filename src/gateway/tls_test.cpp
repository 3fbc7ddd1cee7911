// HTTPS at the gateway's door and on its way to a site, from a client through two gateways to an
// engine. Catches: bytes that go out in the clear, a question that is put to whoever shows another
// key, a plain client that is left without a word, an engine that is not told when a client leaves,
// a connection that is not kept, an end that looks cut off.

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include <boost/asio/read.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "gateway/certificate.h"
#include "gateway/gateway_test.h"
#include "gateway/load.h"

namespace noroshi::gateway {
namespace {

namespace ssl = net::ssl;

std::shared_ptr<TlsServer> own_key() {
  auto made = TlsServer::with_own_key();
  EXPECT_TRUE(made) << made.error().message;
  return *made;
}

// As TestClient, over TLS; knows the server by its pin.
struct TlsClient {
  net::io_context io;
  ssl::context context{ssl::context::tls_client};
  ssl::stream<tcp::socket> stream{io, context};
  boost::beast::flat_buffer buffer;
  boost::system::error_code error;

  TlsClient(int port, const KeyPin& pin) {
    stream.next_layer().connect(
        {net::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)});
    const timeval limit{20, 0};
    setsockopt(stream.next_layer().native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    stream.handshake(ssl::stream_base::client, error);
    EXPECT_FALSE(error) << error.message();
    X509* shown = SSL_get0_peer_certificate(stream.native_handle());
    EXPECT_NE(shown, nullptr);
    if (shown == nullptr) return;
    EXPECT_EQ(public_key_hash(shown)->pin(), pin);
  }
  void send(std::string_view bytes) { net::write(stream, net::buffer(bytes), error); }
  Response read() {
    http::response_parser<http::string_body> parser;
    http::read(stream, buffer, parser, error);
    if (error) ADD_FAILURE() << "no answer: " << error.message();
    return parser.release();
  }
  Response chat(std::string_view body) {
    send(test_request("POST", "/v1/chat/completions", body));
    return read();
  }
};

// A door before one site before one engine; the door and the site speak HTTPS.
class TlsTest : public testing::Test {
 protected:
  std::shared_ptr<TlsServer> door_key = own_key(), site_key = own_key();
  Router engines, sites;
  FakeEngine engine;
  std::optional<Gateway> site, door;

  void SetUp() override {
    site.emplace(begin(engines, site_key));
    update(engines, "engine", engine.tcp_port(), {});
    door.emplace(begin(sites, door_key));
    update(sites, "site", site->tcp_port(), site_key->pin());
  }
  static Gateway begin(Router& router, std::shared_ptr<TlsServer> tls) {
    auto started =
        Gateway::start({.port = 0, .tls = std::move(tls), .header_timeout_s = 20}, router);
    EXPECT_TRUE(started) << started.error().message;
    return *std::move(started);
  }
  static void update(Router& router, const std::string& name, int tcp_port, const KeyPin& pin) {
    const auto taken = router.update(
        {.name = name,
         .instance = 1,
         .host = "127.0.0.1",
         .tcp_port = tcp_port,
         .pin = pin,
         .ready = true,
         .models = {{.name = "m"}},
         .received_at_ns = std::chrono::steady_clock::now().time_since_epoch().count()});
    EXPECT_TRUE(taken) << taken.error().message;
  }
};

TEST_F(TlsTest, AQuestionGoesThroughDoorAndSiteAndConnectionsAreKept) {
  EXPECT_EQ(door->url(), "https://127.0.0.1:" + std::to_string(door->tcp_port()));
  TlsClient client(door->tcp_port(), door_key->pin());
  for (int i = 0; i < 3; ++i) {
    const Response whole = client.chat(chat_body);
    EXPECT_EQ(whole.result_int(), 200u) << whole.body();
    EXPECT_NE(whole.body().find("hello"), std::string::npos) << whole.body();
    EXPECT_EQ(whole["X-Noroshi-Site"], "site");
    const Response streamed = client.chat(stream_body);
    EXPECT_EQ(streamed.result_int(), 200u);
    EXPECT_NE(streamed.body().find("[DONE]"), std::string::npos) << streamed.body();
  }
  // A pipelined pair, and a body of a megabyte.
  const std::string text = test_request("POST", "/v1/chat/completions", chat_body);
  client.send(text + text);
  EXPECT_EQ(client.read().result_int(), 200u);
  EXPECT_EQ(client.read().result_int(), 200u);
  const std::string large = R"({"model":"m","messages":[{"role":"user","content":")" +
                            std::string(1 << 20, 'a') + "\"}]}";
  EXPECT_EQ(client.chat(large).result_int(), 200u);
  ASSERT_TRUE(engine.wait([&] { return engine.asked == 9; }));
  EXPECT_EQ(engine.last_body.size(), large.size());
  TlsClient metrics(site->tcp_port(), site_key->pin());
  metrics.send(test_request("GET", "/metrics"));
  EXPECT_NE(metrics.read().body().find("noroshi_gateway_connections 2\n"), std::string::npos)
      << "the door's one and this";
}

TEST_F(TlsTest, NothingIsSaidToASiteWithAnotherKey) {
  update(sites, "site", site->tcp_port(), door_key->pin());
  TlsClient client(door->tcp_port(), door_key->pin());
  const Response refused = client.chat(chat_body);
  EXPECT_EQ(refused.result_int(), 502u);
  EXPECT_NE(refused.body().find("shows another key than it told the fleet"), std::string::npos)
      << refused.body();
  EXPECT_EQ(site->counters().requests, 0u);
  // A site that is told to have a key and speaks plain HTTP.
  update(sites, "site", engine.tcp_port(), site_key->pin());
  for (const Mode mode : {Mode::garbage, Mode::dies_at_once}) {
    engine.mode = mode;
    EXPECT_NE(client.chat(chat_body).body().find("takes no TLS connection"), std::string::npos);
  }
  EXPECT_TRUE(engine.wait([&] { return engine.asked == 0; }));
  // It told the fleet a new one: all is well again.
  update(sites, "site", site->tcp_port(), site_key->pin());
  engine.mode = Mode::normal;
  EXPECT_EQ(client.chat(chat_body).result_int(), 200u) << "the last resort for a while, yet asked";
  EXPECT_EQ(site->counters().requests, 1u);
}

// A connection of its own for each, so that each has a handshake: all but the first resume.
TEST_F(TlsTest, TheNextConnectionResumesWhatTheSiteGave) {
  net::io_context io;
  TlsSessions sessions;
  for (int i = 0; i < 4; ++i) {
    TlsServer& server = i < 3 ? *site_key : *door_key;
    net::ip::tcp::socket socket(io);
    socket.connect({net::ip::address_v4::loopback(),
                    static_cast<std::uint16_t>((i < 3 ? site : door)->tcp_port())});
    ssl::stream<tcp::socket> stream(std::move(socket), tls_to_sites());
    sessions.begin(stream.native_handle(), server.pin());
    stream.handshake(ssl::stream_base::client);
    net::write(stream, net::buffer(test_request("GET", "/v1/models")));
    char answer[64];
    EXPECT_GT(stream.read_some(net::buffer(answer)), 0u);
    EXPECT_EQ(SSL_session_reused(stream.native_handle()), i == 1 || i == 2 ? 1 : 0) << i;
    X509* shown = SSL_get0_peer_certificate(stream.native_handle());
    EXPECT_EQ(public_key_hash(shown)->pin(), server.pin());
    SSL_set_shutdown(stream.native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
}

TEST_F(TlsTest, AClientThatLeavesStopsTheEngine) {
  engine.mode = Mode::endless;
  {
    TlsClient client(door->tcp_port(), door_key->pin());
    client.send(test_request("POST", "/v1/chat/completions", stream_body));
    std::string seen(4096, '\0');
    EXPECT_GT(client.stream.read_some(net::buffer(seen), client.error), 0u);
  }
  EXPECT_TRUE(engine.wait([&] { return engine.askers_left == 1; }));
}

TEST_F(TlsTest, APlainClientIsToldAndNoiseIsCounted) {
  TestClient plain(door->tcp_port());
  plain.send(test_request("GET", "/health"));
  const Response answer = plain.read();
  EXPECT_EQ(answer.result_int(), 400u);
  EXPECT_NE(answer.body().find("https://"), std::string::npos) << answer.body();
  TestClient noise(door->tcp_port());
  noise.send(std::string_view("\x16\x03\x01\0\5hello", 10));
  noise.read_to_end();
  TestClient early(door->tcp_port());
  early.send("\x16");
  early.socket.shutdown(tcp::socket::shutdown_send);
  early.read_to_end();
  TlsClient client(door->tcp_port(), door_key->pin());
  client.send(test_request("GET", "/metrics"));
  const std::string metrics = client.read().body();
  EXPECT_NE(metrics.find("noroshi_gateway_tls_failed_total 2\n"), std::string::npos) << metrics;
}

// Without a word of goodbye, as most do, and in the middle of a header: gone, and no garbage.
TEST_F(TlsTest, AClientThatIsCutOffIsNoGarbage) {
  {
    TlsClient client(door->tcp_port(), door_key->pin());
    client.send("POST /v1/chat/comp");
    client.stream.next_layer().shutdown(tcp::socket::shutdown_send);
    char byte = 0;
    client.stream.read_some(net::buffer(&byte, 1), client.error);  // the door is done with it
    EXPECT_TRUE(client.error);
  }
  TlsClient client(door->tcp_port(), door_key->pin());
  client.send(test_request("GET", "/metrics"));
  const std::string metrics = client.read().body();
  EXPECT_NE(metrics.find("noroshi_gateway_garbage_total 0\n"), std::string::npos) << metrics;
}

TEST_F(TlsTest, TheEndOfAnAnswerIsNoCut) {
  TlsClient client(door->tcp_port(), door_key->pin());
  client.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " +
              std::to_string(std::string_view(stream_body).size()) + "\r\n\r\n" + stream_body);
  std::string all;
  net::read(client.stream, net::dynamic_buffer(all), client.error);
  EXPECT_EQ(client.error, net::error::eof) << client.error.message();
  EXPECT_NE(all.find("[DONE]"), std::string::npos);
}

TEST_F(TlsTest, TheSitesOwnLoadAsksByItsKey) {
  const std::string url = "http://127.0.0.1:" + std::to_string(site->tcp_port());
  auto load = LoadGenerator::start({.url = url, .pin = site_key->pin(), .model = "m"});
  ASSERT_TRUE(load) << load.error().message;
  while (load->counters().requests < 3) sched_yield();
  auto stranger = LoadGenerator::start({.url = url, .pin = door_key->pin(), .model = "m"});
  ASSERT_TRUE(stranger);
  while (stranger->counters().requests_failed < 1) sched_yield();
  EXPECT_EQ(stranger->counters().requests, 0u);
}

class TlsFilesTest : public testing::Test {
 protected:
  std::filesystem::path folder;
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "noroshi-tls-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  void write_pair(const std::string& name) const {
    const auto key = new_private_key();
    const auto certificate = draft_certificate(key->get(), name, nullptr, year_s);
    ASSERT_NE(X509_sign(certificate->get(), key->get(), EVP_sha256()), 0);
    FILE* file = std::fopen(path(name + ".pem").c_str(), "w");
    ASSERT_EQ(PEM_write_X509(file, certificate->get()), 1);
    std::fclose(file);
    file = std::fopen(path(name + ".key").c_str(), "w");
    ASSERT_EQ(PEM_write_PrivateKey(file, key->get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
    std::fclose(file);
  }
};

TEST_F(TlsFilesTest, ACertificateOfFilesIsShownAndFaultsNameTheFile) {
  write_pair("a");
  write_pair("b");
  const auto server = TlsServer::from_files(path("a.pem"), path("a.key"));
  ASSERT_TRUE(server) << server.error().message;
  const auto other = TlsServer::from_files(path("b.pem"), path("b.key"));
  ASSERT_TRUE(other);
  EXPECT_NE((*server)->pin(), (*other)->pin());
  Router router;
  auto gateway = Gateway::start({.port = 0, .tls = *server}, router);
  ASSERT_TRUE(gateway);
  TlsClient client(gateway->tcp_port(), (*server)->pin());
  std::fclose(std::fopen(path("empty").c_str(), "w"));
  const auto fault = [&](const std::string& certificate, const std::string& key) {
    const auto made = TlsServer::from_files(path(certificate), path(key));
    return made ? "" : made.error().message;
  };
  for (const auto& [certificate, key, named, words] :
       {std::array<std::string, 4>{"none.pem", "a.key", "none.pem", "o such file"},
        {"", "a.key", folder.string(), "is no file"},
        {"empty", "a.key", "empty", "no certificate"},
        {"a.key", "a.key", "a.key", "no certificate"},
        {"a.pem", "empty", "empty", "is not the key of"},
        {"a.pem", "b.key", "b.key", "is not the key of"}}) {
    EXPECT_NE(fault(certificate, key).find(path(named).substr(0, folder.string().size())),
              std::string::npos);
    EXPECT_NE(fault(certificate, key).find(words), std::string::npos) << fault(certificate, key);
  }
}

TEST_F(TlsFilesTest, ARenewedCertificateIsShownFromThenOnAndABrokenOneChangesNothing) {
  write_pair("a");
  write_pair("b");
  const auto server = TlsServer::from_files(path("a.pem"), path("a.key"));
  ASSERT_TRUE(server);
  Router router;
  auto gateway = Gateway::start({.port = 0, .tls = *server}, router);
  ASSERT_TRUE(gateway);
  const KeyPin first = (*server)->pin();
  TlsClient before(gateway->tcp_port(), first);
  std::filesystem::rename(path("b.pem"), path("a.pem"));
  const auto broken = (*server)->read_again();
  ASSERT_FALSE(broken);
  EXPECT_NE(broken.error().message.find("is not the key of"), std::string::npos);
  TlsClient still(gateway->tcp_port(), first);
  std::filesystem::rename(path("b.key"), path("a.key"));
  ASSERT_TRUE((*server)->read_again());
  EXPECT_NE((*server)->pin(), first);
  TlsClient after(gateway->tcp_port(), (*server)->pin());
  before.send(test_request("GET", "/v1/models"));
  EXPECT_EQ(before.read().result_int(), 200u) << "who was there goes on";
}

TEST(KeyPin, IsReadAsItIsWritten) {
  const KeyPin pin = own_key()->pin();
  EXPECT_EQ(pin_text(pin).size(), 32u);
  EXPECT_EQ(parse_pin(pin_text(pin)), pin);
  EXPECT_EQ(parse_pin(""), KeyPin{});
  for (const char* wrong :
       {"0", "00000000000000000000000000000000", "0123456789abcdef0123456789abcdeg",
        "0123456789ABCDEF0123456789abcdef", "0123456789abcdef0123456789abcdef0"}) {
    EXPECT_FALSE(parse_pin(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace noroshi::gateway
