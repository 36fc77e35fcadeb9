fn main() {
    let title: Vec<String> = std::env::args().skip(1).collect();
    println!("{}", slug_example::slug(&title.join(" ")));
}
