#pragma once

// For tests: a llama-server's slots, as far as showing, saving and restoring them go.

#include <sys/socket.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gateway/handover/handover.h"

namespace noroshi::gateway {

class FakeSlots {
 public:
  explicit FakeSlots(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
    thread_ = std::thread([this] { run(); });
  }
  ~FakeSlots() {
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
  }
  int tcp_port() const { return acceptor_.local_endpoint().port(); }
  SlotPlace place(int slot) const {
    return {.tcp_port = tcp_port(), .slot = slot, .save_folder = folder_.string()};
  }

  struct Slot {
    int id = 0;
    bool busy = false;
    std::optional<std::uint32_t> seed = {};
    int task = -1;
    std::string context = {};  // 4 bytes a token
  };
  std::vector<Slot> slots;  // not while a call is under way
  std::string answer;       // to an action, instead of the true one
  unsigned status = 200;    // of an action
  std::atomic<bool> silent{false};
  std::optional<std::uint32_t> seed_after_save = {};  // a request takes the slot meanwhile

 private:
  using tcp = boost::asio::ip::tcp;

  std::string shown() const {
    std::string text = "[";
    for (const Slot& slot : slots) {
      if (text.size() > 1) text += ",";
      text += R"({"id":)" + std::to_string(slot.id) + R"(,"n_ctx":2048,"is_processing":)" +
              (slot.busy ? "true" : "false");
      if (slot.seed) {
        text += R"(,"id_task":)" + std::to_string(slot.task) + R"(,"n_prompt_tokens":)" +
                std::to_string(slot.context.size() / 4) + R"(,"params":{"seed":)" +
                std::to_string(*slot.seed) + "}";
      }
      text += "}";
    }
    return text + "]";
  }
  std::string act(Slot& slot, std::string_view action, const std::filesystem::path& file) {
    if (action == "save") {
      std::ofstream(file) << slot.context;
      if (seed_after_save) slot.seed = seed_after_save;
      return R"({"n_saved":)" + std::to_string(slot.context.size() / 4) + "}";
    }
    std::ifstream in(file);
    slot.context = std::string(std::istreambuf_iterator<char>(in), {});
    return R"({"n_restored":)" + std::to_string(slot.context.size() / 4) + "}";
  }
  void run() {
    namespace http = boost::beast::http;
    for (;;) {
      boost::system::error_code error;
      tcp::socket socket(io_);
      acceptor_.accept(socket, error);
      if (error) return;
      boost::beast::flat_buffer buffer;
      http::request<http::string_body> request;
      http::read(socket, buffer, request, error);
      if (error) continue;
      if (silent) {
        char byte = 0;
        socket.read_some(boost::asio::buffer(&byte, 1), error);  // until the asker leaves
        continue;
      }
      const std::string target(request.target());
      std::string says = target == "/slots" ? shown() : "";
      for (Slot& slot : slots) {
        const std::string path = "/slots/" + std::to_string(slot.id) + "?action=";
        if (!target.starts_with(path)) continue;
        const std::string& body = request.body();
        const std::size_t name_at = body.find(":\"") + 2;
        says = act(slot, target.substr(path.size()),
                   folder_ / body.substr(name_at, body.rfind('"') - name_at));
      }
      http::response<http::string_body> response{http::status::ok, 11};
      if (target != "/slots") {
        response.result(status);
        if (!answer.empty()) says = answer;
      }
      response.body() = says;
      response.keep_alive(false);
      response.prepare_payload();
      http::write(socket, response, error);
    }
  }

  std::filesystem::path folder_;
  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
  std::thread thread_;
};

}  // namespace noroshi::gateway
