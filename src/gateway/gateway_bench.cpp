// What the gateway adds to a chat of 4 KB, against a fake engine on the loopback that answers at
// once: connect, ask, read the answer, with and without the gateway between.

#include <sys/socket.h>

#include <boost/json.hpp>

#include "base/bench.h"
#include "gateway/fake_engine.h"
#include "gateway/gateway.h"

namespace {

using noroshi::gateway::FakeEngine;
using noroshi::gateway::Gateway;
namespace net = boost::asio;
namespace http = boost::beast::http;

std::string chat_of(std::size_t bytes, bool stream) {
  const std::string head =
      stream ? R"({"model":"m","stream":true,"messages":[)" : R"({"model":"m","messages":[)";
  const std::string open = R"({"role":"user","content":")";
  return head + open + std::string(bytes - head.size() - open.size() - 4, 'x') + "\"}]}";
}

struct Asker {
  net::io_context io;
  http::request<http::string_body> request{http::verb::post, "/v1/chat/completions", 11};

  explicit Asker(std::string body) {
    request.set(http::field::host, "127.0.0.1");
    request.set(http::field::connection, "close");
    request.body() = std::move(body);
    request.prepare_payload();
  }
  // Returns a hash of the answer's body.
  std::uint64_t ask(int tcp_port) {
    net::ip::tcp::socket socket(io);
    socket.connect({net::ip::address_v4::loopback(), static_cast<std::uint16_t>(tcp_port)});
    socket.set_option(net::ip::tcp::no_delay(true));
    http::write(socket, request);
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    http::read(socket, buffer, response);
    return noroshi::hash_bytes(response.body().data(), response.body().size());
  }
};

}  // namespace

NOROSHI_BENCH(gateway) {
  if (!bench.wants("chat 4k body added latency") && !bench.wants("chat 4k body direct") &&
      !bench.wants("stream 200 tokens added latency")) {
    return;
  }
  FakeEngine engine;
  engine.tokens = 200;
  noroshi::gateway::SiteState site;
  site.name = "stub";
  site.ready = true;
  site.host = "127.0.0.1";
  site.tcp_port = engine.tcp_port();
  site.models = {{.name = "m"}};
  noroshi::gateway::Router router;
  if (!router.update(site)) return;
  auto gateway = Gateway::start({.port = 0}, router);
  if (!gateway) return;
  Asker chat(chat_of(4096, false));
  Asker stream(chat_of(4096, true));
  const int direct = engine.tcp_port();
  const int through = gateway->tcp_port();
  bench.time_us("chat 4k body direct", [&] { return chat.ask(direct); });
  bench.added_us(
      "chat 4k body added latency", [&] { return chat.ask(direct); },
      [&] { return chat.ask(through); });
  bench.added_us(
      "stream 200 tokens added latency", [&] { return stream.ask(direct); },
      [&] { return stream.ask(through); });
}
