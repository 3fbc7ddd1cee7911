// Catches: a context that is moved when computing it again is cheaper, or the other way; one that
// arrives changed or in part; files that stay behind; an engine's refusal that is taken for
// success.

#include "gateway/handover/handover.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace noroshi::gateway {
namespace {

namespace fs = std::filesystem;
namespace http = boost::beast::http;
using tcp = boost::asio::ip::tcp;

// A llama-server's slots, as far as saving and restoring go.
class FakeSlots {
 public:
  explicit FakeSlots(fs::path folder) : folder_(std::move(folder)) {
    fs::create_directories(folder_);
    thread_ = std::thread([this] { run(); });
  }
  ~FakeSlots() {
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
  }
  SlotPlace place(int slot) const {
    return {.tcp_port = acceptor_.local_endpoint().port(),
            .slot = slot,
            .save_folder = folder_.string()};
  }
  std::string context;  // of its slot
  std::string answer;   // instead of the true one
  unsigned status = 200;

 private:
  void run() {
    for (;;) {
      boost::system::error_code error;
      tcp::socket socket(io_);
      acceptor_.accept(socket, error);
      if (error) return;
      boost::beast::flat_buffer buffer;
      http::request<http::string_body> request;
      http::read(socket, buffer, request, error);
      if (error) continue;
      const std::string body = request.body();
      const std::size_t name_at = body.find(":\"") + 2;
      const fs::path file = folder_ / body.substr(name_at, body.rfind('"') - name_at);
      std::string says;
      if (request.target() == "/slots/3?action=save") {
        std::ofstream(file) << context;
        says = R"({"n_saved":)" + std::to_string(context.size() / 4) + "}";
      } else if (request.target() == "/slots/5?action=restore") {
        std::ifstream in(file);
        context = std::string(std::istreambuf_iterator<char>(in), {});
        says = R"({"n_restored":)" + std::to_string(context.size() / 4) + "}";
      }
      http::response<http::string_body> response{static_cast<http::status>(status), 11};
      response.body() = answer.empty() ? says : answer;
      response.keep_alive(false);
      response.prepare_payload();
      http::write(socket, response, error);
    }
  }
  fs::path folder_;
  boost::asio::io_context io_;
  tcp::acceptor acceptor_{io_, {boost::asio::ip::address_v4::loopback(), 0}};
  std::thread thread_;
};

struct Handover : testing::Test {
  Handover()
      : folder(fs::temp_directory_path() / ("noroshi-handover-" + std::to_string(::getpid()))),
        a(folder / "a"),
        b(folder / "b"),
        store((folder / "store").string()) {
    fs::create_directories(folder / "store");
    a.context = std::string(4000, 'x') + "end.";
  }
  ~Handover() override { fs::remove_all(folder); }
  Result<Moved> move(const std::string& name = "session-1") {
    return move_slot(a.place(3), b.place(5), store, name);
  }
  int files() const {
    int count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  fs::path folder;
  FakeSlots a, b;
  FolderStore store;
};

TEST_F(Handover, TheContextArrivesWholeAndLeavesNothingBehind) {
  const auto moved = move();
  ASSERT_TRUE(moved.ok()) << moved.error().message;
  EXPECT_EQ(moved->tokens, 1001);
  EXPECT_EQ(moved->bytes, 4004u);
  EXPECT_EQ(b.context, a.context);
  EXPECT_EQ(files(), 0);
}

TEST_F(Handover, EveryFailureIsNamedAndLeavesNothingBehind) {
  const auto fails = [&](const Result<Moved>& moved, const char* says) {
    ASSERT_FALSE(moved.ok()) << says;
    EXPECT_NE(moved.error().message.find(says), std::string::npos) << moved.error().message;
    EXPECT_EQ(files(), 0) << says;
  };
  fails(move("../../etc/passwd"), "name '../../etc/passwd'");
  fails(move(""), "must have 1..128");
  a.status = 501;
  fails(move(), "save: answered 501");
  a.status = 200;
  a.answer = "[]";
  fails(move(), "no count 'n_saved'");
  a.answer = R"({"n_saved":-1})";
  fails(move(), "no count 'n_saved'");
  a.answer.clear();
  b.answer = R"({"n_restored":7})";
  fails(move(), "1001 tokens were saved and 7 restored");
  b.answer.clear();
  fails(move_slot(a.place(3), {.tcp_port = 1, .slot = 5, .save_folder = (folder / "b").string()},
                  store, "s"),
        "restore: ");
  FolderStore nowhere((folder / "no" / "such").string());
  fails(move_slot(a.place(3), b.place(5), nowhere, "s"), "blob 's'");
  a.context.clear();
  fails(move(), "holds no context");
}

TEST(HandoverCosts, TheCheaperWayIsTakenAndNothingIsGuessed) {
  HandoverCosts costs;
  EXPECT_FALSE(moving_pays(costs, 1000)) << "nothing is measured";
  learn(
      costs,
      {.tokens = 1000, .bytes = 2'000'000, .save_s = 0.002, .transfer_s = 0.2, .restore_s = 0.002});
  EXPECT_FALSE(moving_pays(costs, 1000)) << "the prompt rate is not";
  costs.prompt_tokens_per_s = 2000;
  costs.round_trip_s = 0.01;
  EXPECT_NEAR(moving_s(costs, 1000), 0.224, 1e-9);
  EXPECT_NEAR(recomputing_s(costs, 1000), 0.5, 1e-9);
  EXPECT_TRUE(moving_pays(costs, 1000));
  EXPECT_FALSE(moving_pays(costs, 10)) << "two round trips for little";
  learn(
      costs,
      {.tokens = 1000, .bytes = 2'000'000, .save_s = 0.002, .transfer_s = 20, .restore_s = 0.002});
  EXPECT_LT(costs.bandwidth_bytes_per_s, 10'000'000);
  costs.bandwidth_bytes_per_s = 1'000'000;
  EXPECT_FALSE(moving_pays(costs, 1000)) << "a thin wire";
}

}  // namespace
}  // namespace noroshi::gateway
