// What the gateway adds to a chat of 4 KB, against a stub engine on the loopback: the same question
// over a kept connection, with and without the gateway between; requests a second of one gateway
// thread; many streams at once.
//
// Floor of a plain request: two more messages over the loopback each way, four system calls of
// about 2 us each with their wake-up, 30 us on this class of virtual machine; parsing 4 KB of JSON
// some 5 us; the choice of a site 2 us.

#include <sys/resource.h>

#include <boost/asio/connect.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "base/bench.h"
#include "gateway/gateway.h"
#include "gateway/openai.h"
#include "gateway/stream.h"
#include "gateway/stub_engine.h"

namespace {

using namespace noroshi;
using namespace noroshi::gateway;
namespace net = boost::asio;
using tcp = net::ip::tcp;
using Error = boost::system::error_code;

std::string chat_of(std::size_t bytes, bool stream) {
  const std::string head =
      stream ? R"({"model":"m","stream":true,"messages":[)" : R"({"model":"m","messages":[)";
  const std::string open = R"({"role":"user","content":")";
  return head + open + std::string(bytes - head.size() - open.size() - 4, 'x') + "\"}]}";
}

std::string request_of(const std::string& body) {
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
         "Content-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

auto into(Error& error) { return net::redirect_error(net::use_awaitable, error); }

tcp::endpoint loopback(int tcp_port) {
  return {net::ip::address_v4::loopback(), static_cast<std::uint16_t>(tcp_port)};
}

// A kept connection that asks and waits.
struct Asker {
  net::io_context io;
  tcp::socket socket{io};
  std::string bytes;

  explicit Asker(int tcp_port) {
    socket.connect(loopback(tcp_port));
    socket.set_option(tcp::no_delay(true));
  }
  std::uint64_t ask(const std::string& request) {
    net::write(socket, net::buffer(request));
    bytes.clear();
    const std::size_t head = net::read_until(socket, net::dynamic_buffer(bytes), "\r\n\r\n");
    const std::size_t field = bytes.find("Content-Length: ");
    const std::size_t size = head + std::stoul(bytes.substr(field + 16, 10));
    if (bytes.size() < size) {
      const std::size_t had = bytes.size();
      bytes.resize(size);
      net::read(socket, net::buffer(bytes.data() + had, size - had));
    }
    return hash_bytes(bytes.data() + head, size - head);
  }
};

// Reads one stream and notes how long each token was under way.
net::awaitable<void> read_stream(net::io_context& io, int tcp_port, const std::string& request,
                                 std::chrono::microseconds after, std::vector<double>& took_us,
                                 int& whole) {
  Error error;
  net::steady_timer timer(io, after);
  co_await timer.async_wait(into(error));
  tcp::socket socket(io);
  co_await socket.async_connect(loopback(tcp_port), into(error));
  socket.set_option(tcp::no_delay(true), error);
  co_await net::async_write(socket, net::buffer(request), into(error));
  std::string bytes;
  while (!error) {
    const std::size_t had = bytes.size();
    bytes.resize(had + 8192);
    const std::size_t size =
        co_await socket.async_read_some(net::buffer(bytes.data() + had, 8192), into(error));
    bytes.resize(had + size);
    const std::int64_t now = StubEngine::now_ns();
    std::size_t seen = 0;
    for (std::size_t at = bytes.find("\"T"); at != std::string::npos;
         at = bytes.find("\"T", at + 2)) {
      const std::size_t end = bytes.find(' ', at);
      if (end == std::string::npos) break;
      std::int64_t sent = 0;
      std::from_chars(bytes.data() + at + 2, bytes.data() + end, sent);
      took_us.push_back(static_cast<double>(now - sent) / 1e3);
      seen = end;
    }
    if (bytes.find("[DONE]", seen) != std::string::npos) {
      ++whole;
      co_return;
    }
    bytes.erase(0, std::max(seen, bytes.size() > 512 ? bytes.size() - 512 : 0));
  }
}

std::vector<double> many_streams(int tcp_port, int streams) {
  net::io_context io{1};
  const std::string request = request_of(chat_of(1024, true));
  std::vector<double> took_us;
  int whole = 0;
  for (int i = 0; i < streams; ++i) {
    net::co_spawn(
        io, read_stream(io, tcp_port, request, std::chrono::microseconds(500 * i), took_us, whole),
        net::detached);
  }
  io.run();
  if (whole != streams) took_us.clear();
  return took_us;
}

net::awaitable<void> ask_on(net::io_context& io, int tcp_port, const std::string& request,
                            std::chrono::steady_clock::time_point until, std::uint64_t& count) {
  Error error;
  tcp::socket socket(io);
  co_await socket.async_connect(loopback(tcp_port), into(error));
  socket.set_option(tcp::no_delay(true), error);
  std::string bytes;
  while (!error && std::chrono::steady_clock::now() < until) {
    co_await net::async_write(socket, net::buffer(request), into(error));
    bytes.clear();
    co_await net::async_read_until(socket, net::dynamic_buffer(bytes),
                                   std::string_view("\"total_tokens\":10}}"), into(error));
    if (!error) ++count;
  }
}

double cpu_s_of_process() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

struct Between {
  Router router;
  std::optional<Gateway> gateway;

  Between(const StubEngine& engine, const KeyPin& pin) {
    SiteState site;
    site.name = "stub";
    site.ready = true;
    site.host = "127.0.0.1";
    site.tcp_port = engine.tcp_port();
    site.pin = pin;
    site.models = {{.name = "m"}};
    if (!router.update(site)) return;
    auto started = Gateway::start(
        {.port = 0, .requests_in_flight_max = 5000, .connections_max = 5000}, router);
    if (started) gateway.emplace(*std::move(started));
  }
};

void plain_requests(Bench& bench) {
  StubEngine engine(0, std::chrono::microseconds(0));
  Between between(engine, {});
  Between secure(engine, engine.pin());
  if (!between.gateway || !secure.gateway) return;
  const std::string request = request_of(chat_of(4096, false));
  Asker direct(engine.tcp_port());
  Asker through(between.gateway->tcp_port());
  Asker through_secure(secure.gateway->tcp_port());
  bench.time_us("chat 4k direct", [&] { return direct.ask(request); });
  bench.added_us(
      "chat 4k added latency", [&] { return direct.ask(request); },
      [&] { return through.ask(request); });
  bench.added_us(
      "chat 4k added latency, HTTPS to the site", [&] { return direct.ask(request); },
      [&] { return through_secure.ask(request); });
  const std::string large = request_of(chat_of(1 << 20, false));
  bench.added_us(
      "chat 1M added latency, HTTPS to the site", [&] { return direct.ask(large); },
      [&] { return through_secure.ask(large); });
  bench.added_us(
      "chat 1M added latency", [&] { return direct.ask(large); },
      [&] { return through.ask(large); });
  if (bench.wants("requests a second, one thread")) {
    net::io_context io{1};
    std::uint64_t count = 0;
    const auto from = std::chrono::steady_clock::now();
    const double s = bench.smoke() ? 0.01 : 3 * bench.seconds();
    const auto until = from + std::chrono::microseconds(static_cast<std::int64_t>(s * 1e6));
    for (int i = 0; i < 32; ++i) {
      net::co_spawn(io, ask_on(io, between.gateway->tcp_port(), request, until, count),
                    net::detached);
    }
    io.run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - from;
    bench.values("requests a second, one thread", "1/s",
                 {static_cast<double>(count) / took.count()});
  }
}

void streams(Bench& bench, int count, bool is_secure) {
  const std::string name =
      std::to_string(count) + " streams of 20 tokens/s" + (is_secure ? ", HTTPS to the site" : "");
  if (!bench.wants(name)) return;
  StubEngine engine(bench.smoke() ? 2 : 60, std::chrono::microseconds(50'000));
  Between between(engine, is_secure ? engine.pin() : KeyPin{});
  if (!between.gateway) return;
  const int number = bench.smoke() ? std::min(count, 5) : count;
  std::vector<double> direct = many_streams(engine.tcp_port(), number);
  const double cpu_before = cpu_s_of_process();
  std::vector<double> through = many_streams(between.gateway->tcp_port(), number);
  const double cpu_s = cpu_s_of_process() - cpu_before;
  if (direct.empty() || through.empty()) return;
  const double tokens = static_cast<double>(through.size());
  std::ranges::sort(direct);
  // What was added to each rank of the distribution: the worst token against the worst.
  std::vector<double> added = through;
  std::ranges::sort(added);
  for (std::size_t i = 0; i < added.size(); ++i) {
    added[i] -= direct[std::min(i * direct.size() / added.size(), direct.size() - 1)];
  }
  bench.values(name + ", direct", "us", std::move(direct));
  bench.values(name + ", through", "us", std::move(through));
  bench.values(name + ", added", "us", std::move(added));
  bench.values(name + ", processor a token, all", "us", {cpu_s * 1e6 / tokens});
}

}  // namespace

NOROSHI_BENCH(gateway) {
  if (bench.wants("chat 4k direct") || bench.wants("chat 4k added latency") ||
      bench.wants("chat 1M added latency, HTTPS to the site") ||
      bench.wants("requests a second, one thread")) {
    plain_requests(bench);
  }
  streams(bench, 1, false);
  streams(bench, 1000, false);
  streams(bench, 1000, true);
  const std::string chat = chat_of(4096, false);
  bench.time_us("read a question of 4 KiB", [&] {
    return std::get<Question>(parse_question(Endpoint::chat, chat)).prompt_bytes;
  });
  const std::string event =
      "data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"content\":\" word\"}}],"
      "\"created\":1795623233,\"id\":\"chatcmpl-HTGPWeMRe4mLeH7JNOL4UQjkQIwBFSql\",\"model\":"
      "\"tiny\",\"system_fingerprint\":\"b11669\",\"object\":\"chat.completion.chunk\"}\n\n";
  Stream stream(false);
  bench.time_us("read a token's event", [&] {
    std::uint64_t bytes = 0;
    for (int i = 0; i < 100; ++i) bytes += stream.feed(event).size();
    return bytes;
  });
}
